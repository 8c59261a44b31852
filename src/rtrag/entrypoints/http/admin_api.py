"""Watching and mending: pipeline status, dead letters, verification."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rtrag.application.stages import WINDOW_SECONDS
from rtrag.entrypoints.http.admin_schemas import (
    DeadLetterOut,
    DeadLettersOut,
    ReplayOut,
    ReplaysOut,
    StatusOut,
    VerifyIn,
    VerifyOut,
)
from rtrag.entrypoints.http.wiring import LetterKey, json_response, problems, services_of

router = APIRouter(prefix="/api")


@router.get(
    "/pipeline/status",
    tags=["pipeline"],
    summary="State of the pipeline",
    response_model=StatusOut,
    responses=problems(401, 422, 503),
)
async def pipeline_status(
    request: Request,
    seconds: Annotated[float, Query(gt=0, le=3_600, description="The stages of changes that old.")] = WINDOW_SECONDS,
) -> Response:
    """Phase, watermarks, lag, counts, what changes take at each stage, and why it is not ready if it is not."""
    operations = services_of(request).operations
    return json_response(StatusOut.of(await operations.status(), operations.stages(seconds)))


@router.post(
    "/verify",
    tags=["pipeline"],
    summary="Compare tables and index",
    response_model=VerifyOut,
    responses=problems(400, 401, 413, 415, 422, 503),
)
async def verify(request: Request, body: VerifyIn | None = None) -> Response:
    """Compare every row with its index entry; with `repair`, mend what differs."""
    report = await services_of(request).operations.verify(repair=bool(body and body.repair))
    return json_response(VerifyOut.of(report))


@router.get(
    "/dead-letters",
    tags=["dead letters"],
    summary="List dead letters",
    response_model=DeadLettersOut,
    responses=problems(401, 422, 503),
)
async def list_letters(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(max_length=4_096, description="Only letters behind this key.")] = None,
) -> Response:
    """Changes that could not be processed, by document, at most one each."""
    letters = services_of(request).letters
    found = [DeadLetterOut.of(letter) for letter in await letters.list(limit=limit, after=after)]
    next_after = found[-1].key if len(found) == limit else None
    return json_response(DeadLettersOut(dead_letters=found, total=await letters.count(), next_after=next_after))


@router.post(
    "/dead-letters/replay",
    tags=["dead letters"],
    summary="Replay all dead letters",
    response_model=ReplaysOut,
    responses=problems(401, 503),
)
async def replay_all(request: Request) -> Response:
    """Read the rows as they are now and index them; what still fails stays open with its new cause."""
    return await _replayed(request, None)


@router.post(
    "/dead-letters/{key:path}/replay",
    tags=["dead letters"],
    summary="Replay a dead letter",
    response_model=ReplaysOut,
    responses=problems(401, 404, 503),
)
async def replay_letter(request: Request, key: LetterKey) -> Response:
    """Read the document's row as it is now and index it."""
    return await _replayed(request, key)


@router.get(
    "/dead-letters/{key:path}",
    tags=["dead letters"],
    summary="Read a dead letter",
    response_model=DeadLetterOut,
    responses=problems(401, 404, 503),
)
async def show_letter(request: Request, key: LetterKey) -> Response:
    """The cause, and the change as it came. The path ends in the document key of a response, as it is."""
    return json_response(DeadLetterOut.of(await services_of(request).letters.show(key)))


@router.delete(
    "/dead-letters/{key:path}",
    tags=["dead letters"],
    summary="Forget a dead letter",
    status_code=204,
    response_class=Response,
    responses=problems(401, 404, 503),
)
async def drop_letter(request: Request, key: LetterKey) -> Response:
    """Forget a letter without replaying it: the document stays in the index as it is."""
    await services_of(request).letters.drop(key)
    return Response(status_code=204)


async def _replayed(request: Request, key: str | None) -> Response:
    outcomes = [ReplayOut.of(outcome) for outcome in await services_of(request).letters.replay(key)]
    closed = sum(outcome.closed for outcome in outcomes)
    return json_response(ReplaysOut(outcomes=outcomes, closed=closed, still_open=len(outcomes) - closed))

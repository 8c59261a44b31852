"""Asking: ``POST /query``, whole or as a stream of events, and the collections there are."""

import logging
import time
from collections.abc import AsyncIterator
from itertools import islice

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent

from rtrag.application.questions import Answer, Question, Retrieval
from rtrag.domain.errors import RtragError
from rtrag.entrypoints.http.problems import MAX_ERRORS, internal_problem, problem_of, request_id_of
from rtrag.entrypoints.http.schemas import (
    ANSWER,
    RETRIEVAL,
    AnswerOut,
    CollectionOut,
    CollectionsOut,
    DeltaOut,
    QueryIn,
    RetrievalOut,
)
from rtrag.entrypoints.http.wiring import TOKEN_HEADER, json_response, metrics_of, problems, services_of
from rtrag.ports.generation import TextDelta

MAX_QUERY_BYTES = 256_000

router = APIRouter(tags=["query"])
_log = logging.getLogger(__name__)

# Body and header are read by hand: what the framework does for them costs a quarter of a millisecond. So they are
# documented by hand as well.
_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/QueryIn"}}},
    },
    "parameters": [
        {
            "name": TOKEN_HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "The same as `min_position` in the body: the token that a write returned.",
        }
    ],
}
_EVENTS = (
    "Server-sent events: `retrieval` (sources, before anything is generated), then `delta` (pieces of the text), "
    "last `answer` (the whole), or `error` (problem details) where it breaks off."
)


@router.post(
    "/query",
    summary="Ask a question",
    response_model=AnswerOut,
    responses=problems(400, 401, 404, 413, 415, 422, 424, 503),
    openapi_extra=_REQUEST,
)
async def query(request: Request) -> Response:
    """Answer from the documents as they are now, with citations.

    With a freshness token the answer reflects that write, or the request fails with 503 and `Retry-After`. Ask with
    `"stream": true` or `Accept: text/event-stream` to get the answer as it is made.
    """
    body = await _body(request)
    question = body.question(request.headers.get(TOKEN_HEADER))
    if body.stream or "text/event-stream" in request.headers.get("accept", ""):
        return await _streamed(request, question)
    metrics = metrics_of(request)
    started = time.perf_counter()
    try:
        answer = await services_of(request).answers.ask(question)
    except RtragError:
        metrics.failed()
        raise
    metrics.answered(time.perf_counter() - started, memoised=answer.memoised)
    return Response(ANSWER.dump_json(AnswerOut.of(answer)), media_type="application/json")


@router.post(
    "/query/stream",
    summary="Ask a question, answered as it is made",
    response_class=EventSourceResponse,
    responses={
        200: {"description": _EVENTS, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **problems(400, 401, 404, 413, 415, 422, 424, 503),
    },
    openapi_extra=_REQUEST,
)
async def query_stream(request: Request) -> Response:
    """The same question as `POST /query`; the answer comes as server-sent events.

    What fails before the first event is an ordinary error response.
    """
    body = await _body(request)
    return await _streamed(request, body.question(request.headers.get(TOKEN_HEADER)))


@router.get("/collections", summary="List the collections", response_model=CollectionsOut, responses=problems(401))
async def collections(request: Request) -> Response:
    """The collections that can be asked; the first is the default."""
    found = services_of(request).collections.values()
    return json_response(CollectionsOut(collections=[CollectionOut.of(collection) for collection in found]))


async def _body(request: Request) -> QueryIn:
    """The question as it was sent. Raises what the framework raises for a body that is not valid."""
    sent = await request.body()
    if len(sent) > MAX_QUERY_BYTES:
        raise HTTPException(413, f"A question may have {MAX_QUERY_BYTES:,} bytes at most, filters included.")
    try:
        return QueryIn.model_validate_json(sent)
    except ValidationError as error:
        listed = islice(error.errors(include_url=False, include_context=False), MAX_ERRORS)
        found = [{**detail, "loc": ("body", *detail["loc"])} for detail in listed]
        raise RequestValidationError(found) from error


async def _streamed(request: Request, question: Question) -> Response:
    items = services_of(request).answers.stream(question)
    started = time.perf_counter()
    try:
        first = await anext(items)
    except RtragError:
        metrics_of(request).failed()
        raise
    return EventSourceResponse(_events(request, first, items, started))


async def _events(
    request: Request,
    first: Retrieval | TextDelta | Answer,
    rest: AsyncIterator[Retrieval | TextDelta | Answer],
    started: float,
) -> AsyncIterator[ServerSentEvent]:
    metrics = metrics_of(request)
    request_id = request_id_of(request.scope)
    try:
        yield _event(first)
        async for item in rest:
            if isinstance(item, Answer):
                metrics.answered(time.perf_counter() - started, memoised=item.memoised)
            yield _event(item)
    except RtragError as error:
        metrics.failed()
        _log.warning("stream_failed request_id=%s error=%s", request_id, error)
        yield ServerSentEvent(problem_of(error, request_id).model_dump_json(), event="error")
    except Exception:  # noqa: BLE001 - the boundary of one request: its status line is sent, so the stream says it
        metrics.failed()
        _log.exception("stream_failed request_id=%s", request_id)
        yield ServerSentEvent(internal_problem(request_id).model_dump_json(), event="error")
    finally:
        close = getattr(rest, "aclose", None)
        if close is not None:
            await close()


def _event(item: Retrieval | TextDelta | Answer) -> ServerSentEvent:
    match item:
        case Retrieval():
            return ServerSentEvent(RETRIEVAL.dump_json(RetrievalOut.of(item)).decode(), event="retrieval")
        case TextDelta():
            return ServerSentEvent(DeltaOut(text=item.text).model_dump_json(), event="delta")
        case Answer():
            return ServerSentEvent(ANSWER.dump_json(AnswerOut.of(item)).decode(), event="answer")

"""Health, readiness, numbers, and the page that says what is here."""

import logging
import os
from collections.abc import Sequence
from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from rtrag.domain.errors import TransientError
from rtrag.entrypoints.http.discretion import in_short, may_know
from rtrag.entrypoints.http.metrics import PROMETHEUS_TYPE, MetricsOut, metrics_json, metrics_text, wants_text
from rtrag.entrypoints.http.wiring import json_response, metrics_of, problems, services_of

router = APIRouter(tags=["health"])
_log = logging.getLogger(__name__)

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Real-Time RAG</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui;max-width:44rem;margin:3rem auto;padding:0 1rem}}code{{font-size:.95em}}</style>
<h1>Real-Time RAG</h1>
<p>Cited answers from PostgreSQL documents, true as of the last commit. Version {version}.</p>
<ul>{links}</ul>
</html>
"""
_LINKS = {
    "/docs": "the API, to read and to try",
    "/query": "POST a question",
    "/collections": "what can be asked",
    "/api/documents": "the documents",
    "/api/pipeline/status": "what the pipeline is doing",
    "/api/dead-letters": "changes that could not be processed",
    "/ready": "whether questions can be answered",
    "/metrics": "numbers",
    "/api/metrics": "numbers",
}


class HealthOut(BaseModel):
    """Whether the process lives, and how what it depends on is doing."""

    status: str = Field(description="ok, or degraded: see problems.")
    version: str
    role: str
    pid: int = Field(description="Process id: tells one instance on this machine from another.")
    phase: str
    ready: bool
    visible_lsn: str | None = Field(description="Moves whenever queries may see something new.")
    lag_ms: float | None
    dead_letters: int | None
    problems: list[str] = Field(description="What is wrong; in short for callers without an API key.")
    model: str | None


class ReadyOut(BaseModel):
    """Whether questions can be answered and changes are taken."""

    ready: bool
    phase: str
    problems: list[str] = Field(description="Why not, each with what to do; in short for callers without an API key.")


def package_version() -> str:
    """Version of the installed package."""
    return version("rtrag")


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    """What is here."""
    paths = {"/docs", *request.app.openapi()["paths"]}
    links = "".join(
        f'<li><a href="{path}"><code>{path}</code></a> {text}</li>' for path, text in _LINKS.items() if path in paths
    )
    return HTMLResponse(_PAGE.format(version=package_version(), links=links))


@router.get("/health", summary="Liveness, with detail", response_model=HealthOut, responses=problems())
async def health(request: Request) -> Response:
    """Always 200 while the process lives; `status` and `problems` tell how what it depends on is doing."""
    role: str = request.app.state.role
    try:
        status = await services_of(request).operations.status()
    except TransientError as error:
        return json_response(
            HealthOut(
                status="degraded",
                version=package_version(),
                role=role,
                pid=os.getpid(),
                phase="unknown",
                ready=False,
                visible_lsn=None,
                lag_ms=None,
                dead_letters=None,
                problems=_told(request, [str(error)]),
                model=None,
            )
        )
    return json_response(
        HealthOut(
            status="ok" if status.ready and not status.dead_letters and not status.warnings else "degraded",
            version=package_version(),
            role=role,
            pid=os.getpid(),
            phase=status.phase,
            ready=status.ready,
            visible_lsn=status.visible_lsn,
            lag_ms=status.lag_ms,
            dead_letters=status.dead_letters,
            problems=_told(request, (*status.problems, *status.warnings)),
            model=status.model,
        )
    )


@router.get(
    "/ready",
    summary="Readiness",
    response_model=ReadyOut,
    responses={503: {"model": ReadyOut, "description": "Not ready, and why."}},
)
async def ready(request: Request) -> Response:
    """200 when questions can be answered from a current index, otherwise 503 with the reasons."""
    try:
        status = await services_of(request).operations.status()
    except TransientError as error:
        answer = ReadyOut(ready=False, phase="unknown", problems=_told(request, [str(error)]))
    else:
        answer = ReadyOut(ready=status.ready, phase=status.phase, problems=_told(request, status.problems))
    if answer.ready:
        return json_response(answer)
    return json_response(answer, status=503, headers={"Retry-After": "1"})


def _told(request: Request, problems: Sequence[str]) -> list[str]:
    """The problems in full for those who may know; in short for others, and then in full in the log, once each."""
    if may_know(request.scope):
        return list(problems)
    logged: set[str] = request.app.state.logged_problems
    for problem in problems:
        if problem not in logged:
            _log.warning("problem_told_in_short detail=%r", problem)
    logged.clear()
    logged.update(problems)
    return list(dict.fromkeys(in_short(problem) for problem in problems))


async def metrics(request: Request) -> Response:
    """JSON by default; the Prometheus text format for a scraper or `Accept: text/plain`."""
    status = await services_of(request).operations.status()
    queries = metrics_of(request)
    if wants_text(request.headers.get("accept", "")):
        return Response(metrics_text(status, queries), media_type=PROMETHEUS_TYPE)
    return json_response(metrics_json(status, queries))


def metrics_router(path: str) -> APIRouter:
    """The numbers under a path: ``/metrics`` of the query service, ``/api/metrics`` of the update service."""
    numbers = APIRouter(tags=["health"])
    numbers.add_api_route(
        path,
        metrics,
        summary="Numbers",
        response_model=MetricsOut,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **problems(401, 503),
        },
    )
    return numbers

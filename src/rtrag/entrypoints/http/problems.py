"""Errors as problem details (RFC 9457): one table from error class to status, one shape for every failure.

A freshness timeout is 503 with ``Retry-After`` and not 504: nothing behind this service failed, the same request is
right a moment later, and clients already retry a 503. A wrong configuration, such as a key that a language model does
not take, is 503 without it: somebody has to mend it. An open dead letter is 424: repeating the query is useless
until the letter is replayed. What took PostgreSQL too long is 504 without ``Retry-After``: it would again.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from rtrag.domain.errors import (
    ConfigurationError,
    ConflictError,
    DeadLetterOpenError,
    FreshnessTimeoutError,
    InvalidRequestError,
    NotFoundError,
    NotReadyError,
    ReadOnlyCollectionError,
    RtragError,
    TooSlowError,
    TransientError,
)
from rtrag.entrypoints.http.discretion import MISCONFIGURED, may_know

MAX_ERRORS = 20  # told of one request; what is sent may have any number
MEDIA_TYPE = "application/problem+json"
_URN = "urn:rtrag:problem:"
_log = logging.getLogger(__name__)


class PreconditionFailedError(ConflictError):
    """The document's version is not the one that If-Match names; read it again and repeat the change."""


class FieldProblem(BaseModel):
    """One part of a request that is not valid."""

    field: str = Field(description="Where: `body.page_size`, `query.limit`, `header.if-match`.")
    message: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """What every error looks like (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:rtrag:problem:not-found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "There is no document 'doc-9' in collection 'documents'.",
                    "request_id": "5f0c1b6a9d3e4f27",
                    "errors": [],
                }
            ]
        }
    )

    type: str = Field(description="Stable name of the kind of problem, for programs.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status again.")
    detail: str = Field(description="What happened, to what, and what to do next.")
    request_id: str = Field(description="Also in the X-Request-ID header and in the log.")
    errors: list[FieldProblem] = Field(description="The parts of the request that are not valid; empty otherwise.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of problem. ``retry_after`` is in seconds, None where repeating the request does not help."""

    status: int
    name: str
    title: str
    retry_after: float | None = None


INTERNAL = Kind(status=500, name="internal", title="Internal error")
TOO_LARGE = Kind(status=413, name="too-large", title="Request too large")
UNAUTHORIZED = Kind(status=401, name="unauthorized", title="API key missing or wrong")
FOREIGN_ORIGIN = Kind(status=403, name="foreign-origin", title="Foreign origin")
FOREIGN_HOST = Kind(status=421, name="foreign-host", title="Foreign host name")
NOT_JSON = Kind(status=415, name="not-json", title="Not JSON")
NOT_READY = Kind(status=503, name="not-ready", title="Not ready", retry_after=1.0)
_INVALID = Kind(status=422, name="invalid-request", title="Invalid request")
_MALFORMED = Kind(status=400, name="malformed", title="Malformed request")

# The first class that fits decides, so a subclass stands before its base.
_BY_ERROR: Sequence[tuple[type[RtragError], Kind]] = (
    (InvalidRequestError, _INVALID),
    (NotFoundError, Kind(status=404, name="not-found", title="Not found")),
    (PreconditionFailedError, Kind(status=412, name="precondition-failed", title="Version changed")),
    (ConflictError, Kind(status=409, name="conflict", title="Conflict")),
    (ReadOnlyCollectionError, Kind(status=405, name="read-only", title="Read-only collection")),
    (FreshnessTimeoutError, Kind(status=503, name="freshness-timeout", title="Not fresh yet", retry_after=1.0)),
    (DeadLetterOpenError, Kind(status=424, name="dead-letter-open", title="Dead letter open")),
    (TooSlowError, Kind(status=504, name="too-slow", title="Too slow")),
    (NotReadyError, NOT_READY),
    (TransientError, Kind(status=503, name="unavailable", title="Dependency unavailable", retry_after=1.0)),
    (ConfigurationError, Kind(status=503, name="misconfigured", title="Wrong configuration")),
)
_BY_STATUS: Mapping[int, Kind] = {
    kind.status: kind
    for kind in (
        _MALFORMED,
        Kind(status=404, name="no-such-path", title="No such path"),
        Kind(status=405, name="method-not-allowed", title="Method not allowed"),
        TOO_LARGE,
    )
}
_READ_METHODS = "GET"


def kind_of(error: RtragError) -> Kind:
    """Which kind of problem an error is; INTERNAL for those that a request should never meet."""
    return next((kind for error_class, kind in _BY_ERROR if isinstance(error, error_class)), INTERNAL)


def request_id_of(scope: Mapping[str, object]) -> str:
    """The id that the outermost middleware gave this request."""
    return str(scope.get("rtrag.request_id", ""))


def problem_of(error: RtragError, request_id: str, *, in_full: bool = False) -> Problem:
    """An error as problem details; one that is not the caller's business says nothing but its id.

    ``in_full`` tells what is wrong with the configuration, which may name hosts, users and folders.
    """
    kind = kind_of(error)
    detail = _internal_detail() if kind is INTERNAL else str(error)
    if isinstance(error, ConfigurationError) and not in_full:
        detail = MISCONFIGURED
    return _problem(kind, detail, request_id)


def internal_problem(request_id: str) -> Problem:
    """The problem of an error nobody foresaw: its cause is in the log alone."""
    return _problem(INTERNAL, _internal_detail(), request_id)


def problem_response(
    kind: Kind,
    detail: str,
    request_id: str,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response that says what went wrong, with ``Retry-After`` where repeating helps."""
    problem = _problem(kind, detail, request_id, errors)
    all_headers = dict(headers or {})
    if kind.retry_after is not None:
        all_headers.setdefault("Retry-After", str(max(1, math.ceil(kind.retry_after))))
    return Response(problem.model_dump_json(), kind.status, all_headers, MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of this application a problem response."""
    app.add_exception_handler(RtragError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RtragError)  # noqa: S101 - registered for this class alone
    request_id = request_id_of(request.scope)
    kind = kind_of(error)
    if kind is INTERNAL:
        _log.error("request_failed request_id=%s path=%r", request_id, request.url.path, exc_info=error)
    if isinstance(error, ConfigurationError):
        _log.warning("misconfigured request_id=%s path=%r detail=%r", request_id, request.url.path, str(error))
    headers = {}
    if isinstance(error, ReadOnlyCollectionError):
        headers["Allow"] = _READ_METHODS
    if isinstance(error, TransientError) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    problem = problem_of(error, request_id, in_full=may_know(request.scope))
    return problem_response(kind, problem.detail, request_id, headers=headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    everything = error.errors()
    found = everything[:MAX_ERRORS]
    kind = _MALFORMED if any(item["type"] == "json_invalid" for item in found) else _INVALID
    errors = [
        FieldProblem(field=".".join(str(part) for part in item["loc"]), message=_said(item["msg"])) for item in found
    ]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors)
    if len(everything) > len(found):
        detail += f"; and {len(everything) - len(found)} more"
    return problem_response(kind, detail, request_id_of(request.scope), errors=errors)


def _said(message: object) -> str:
    return str(message).removeprefix("Value error, ")  # validation's own words, put before those of our checks


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    status = error.status_code
    kind = _BY_STATUS.get(status) or Kind(status=status, name=f"http-{status}", title=HTTPStatus(status).phrase)
    detail = str(error.detail)
    if status == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.url.path}; /docs lists what there is."
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.url.path} does not take {request.method}; the Allow header lists what it takes."
    return problem_response(kind, detail, request_id_of(request.scope), headers=error.headers)


def _problem(kind: Kind, detail: str, request_id: str, errors: Sequence[FieldProblem] = ()) -> Problem:
    return Problem(
        type=_URN + kind.name,
        title=kind.title,
        status=kind.status,
        detail=detail,
        request_id=request_id,
        errors=list(errors),
    )


def _internal_detail() -> str:
    return "Something went wrong that is not your fault; the log of the server has the cause under this request id."

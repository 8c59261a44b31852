"""What every endpoint shares: the services, responses made straight from models, ids as paths show them."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel

from rtrag.application.services import Services
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import NotFoundError
from rtrag.entrypoints.http.metrics import QueryMetrics

TOKEN_HEADER = "X-Freshness-Token"  # noqa: S105 - a header's name
_DOCUMENTS = "/api/documents/"
_LETTERS = "/api/dead-letters/"
_TITLES = {
    400: "The body is not JSON.",
    401: "An API key is needed.",
    404: "There is no such thing.",
    405: "The collection is read-only.",
    409: "Someone else was first.",
    412: "The version is not the one that If-Match names.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "The request is not valid.",
    424: "The document has an open dead letter.",
    500: "Something went wrong that is not your fault.",
    503: "Not ready, or not fresh in time; try again after Retry-After seconds.",
    504: "PostgreSQL took too long; ask for less.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of an endpoint, for its documentation."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _TITLES[status], "content": content} for status in (*statuses, 500)}


def services_of(request: Request) -> Services:
    """The running instance."""
    services: Services = request.app.state.services
    return services


def metrics_of(request: Request) -> QueryMetrics:
    """The numbers that the query endpoints keep."""
    metrics: QueryMetrics = request.app.state.query_metrics
    return metrics


def json_response(model: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A model as JSON, written by pydantic itself: the encoder of the framework costs several times as much."""
    return Response(model.model_dump_json(), status, headers, "application/json")


async def _document_id(
    request: Request,
    decoded: Annotated[
        str,
        Path(
            alias="document_id",
            description="The `id` of a response, as it is: already percent-encoded, the parts of a composite key "
            "joined by slashes.",
            examples=["doc-1"],
        ),
    ],
) -> str:
    key = _key_of(f"x/{_as_sent(request, _DOCUMENTS) or decoded}")
    if len(key.values) > 1 and _has_one_key_column(request):
        key = DocumentKey(key.table, ("/".join(key.values),))
    return key.id


async def _letter_key(
    request: Request,
    decoded: Annotated[
        str,
        Path(
            alias="key",
            description="The document key of a response, as it is.",
            examples=["public.documents/doc-1"],
        ),
    ],
) -> str:
    sent = _as_sent(request, _LETTERS)
    return str(_key_of((sent.removesuffix("/replay") if request.method == "POST" else sent) or decoded))


DocumentId: TypeAlias = Annotated[str, Depends(_document_id)]
LetterKey: TypeAlias = Annotated[str, Depends(_letter_key)]


def _has_one_key_column(request: Request) -> bool:
    """Whether a slash in a path can only be part of the one value, as in ``docs/a.md``."""
    collections = services_of(request).collections
    name = request.query_params.get("collection") or next(iter(collections))
    return name in collections and len(collections[name].tables[0].key_columns) == 1


def _as_sent(request: Request, prefix: str) -> str:
    """The rest of a path behind a prefix, still percent-encoded; empty where the server does not tell.

    The parts of a key are encoded one by one, so the decoded path could not tell a slash inside a value from one
    between two values.
    """
    raw: bytes = request.scope.get("raw_path") or b""
    return raw.decode("utf-8", "replace").partition("?")[0].partition(prefix)[2]


def _key_of(text: str) -> DocumentKey:
    try:
        key = DocumentKey.parse(text)
    except ValueError as exc:
        raise NotFoundError(f"{text!r} is not a document key; expected table/key as public.documents/doc-1.") from exc
    if any("\x00" in value for value in key.values):
        raise NotFoundError("A document id cannot contain the character U+0000.")
    return key

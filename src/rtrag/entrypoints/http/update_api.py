"""Reading and writing documents, and waiting until a write is visible."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from rtrag.application.services import DocumentWritten
from rtrag.domain.document import StoredDocument
from rtrag.domain.errors import ConflictError, InvalidRequestError
from rtrag.entrypoints.http.problems import PreconditionFailedError
from rtrag.entrypoints.http.schemas import MAX_WAIT_MS, parse_token
from rtrag.entrypoints.http.update_schemas import (
    DocumentChange,
    DocumentIn,
    DocumentOut,
    DocumentPage,
    VisibleOut,
    WrittenOut,
)
from rtrag.entrypoints.http.wiring import TOKEN_HEADER, DocumentId, json_response, problems, services_of

router = APIRouter(prefix="/api", tags=["documents"])

CollectionName = Annotated[
    str | None, Query(description="Name of a collection; the first one if it is left out.", max_length=200)
]
IfMatch = Annotated[
    str | None, Header(description="The ETag that was read: 412 if the document has another version by now.")
]


@router.get(
    "/documents",
    summary="List documents",
    response_model=DocumentPage,
    responses=problems(401, 404, 422, 503, 504),
)
async def list_documents(
    request: Request,
    collection: CollectionName = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    search: Annotated[str | None, Query(max_length=500, description="Only documents that contain this text.")] = None,
) -> Response:
    """A page of documents in key order, as the rows say, with the number of all."""
    found, total = await services_of(request).documents.list(collection, limit=limit, offset=offset, search=search)
    documents = [DocumentOut.of(document) for document in found]
    return json_response(DocumentPage(documents=documents, total=total, limit=limit, offset=offset))


@router.post(
    "/documents",
    summary="Add a document",
    status_code=201,
    response_model=WrittenOut,
    responses=problems(400, 401, 404, 405, 409, 413, 415, 422, 503),
)
async def create_document(request: Request, body: DocumentIn, collection: CollectionName = None) -> Response:
    """Insert a row. The token in the response makes a query wait until the document can be found."""
    written = await services_of(request).documents.create(collection, body.id, body.title, body.content, body.metadata)
    return _written(written, status=201, headers={"Location": "/api/documents/" + written.key.id.replace(" ", "%20")})


@router.get(
    "/documents/{document_id:path}",
    summary="Read a document",
    response_model=DocumentOut,
    responses=problems(401, 404, 503),
)
async def get_document(request: Request, document_id: DocumentId, collection: CollectionName = None) -> Response:
    """The row of a document, with its version as ETag.

    The path is `/api/documents/` followed by the `id` of a response, as it is: a primary key of several columns is
    joined by slashes.
    """
    found = await services_of(request).documents.get(collection, document_id)
    return json_response(DocumentOut.of(found), headers=_etag(found))


@router.put(
    "/documents/{document_id:path}",
    summary="Change a document",
    response_model=WrittenOut,
    responses=problems(400, 401, 404, 405, 409, 412, 413, 415, 422, 503),
)
async def change_document(
    request: Request,
    document_id: DocumentId,
    body: DocumentChange,
    collection: CollectionName = None,
    if_match: IfMatch = None,
) -> Response:
    """Change what is given: title, content, metadata. What is left out stays as it is.

    Send the version that you read, in `If-Match` or in the body, and nobody's change is overwritten unseen.
    """
    expected = _expected_version(if_match)
    if expected is not None and body.version is not None and expected != body.version:
        raise InvalidRequestError("If-Match and version differ; send one of them.")
    try:
        written = await services_of(request).documents.update(
            collection,
            document_id,
            title=body.title,
            content=body.content,
            metadata=body.metadata,
            expected_version=expected if expected is not None else body.version,
        )
    except ConflictError as error:
        if expected is not None:
            raise PreconditionFailedError(str(error)) from error
        raise
    return _written(written)


@router.delete(
    "/documents/{document_id:path}",
    summary="Remove a document",
    response_model=WrittenOut,
    responses=problems(401, 404, 405, 409, 412, 503),
)
async def delete_document(
    request: Request,
    document_id: DocumentId,
    collection: CollectionName = None,
    if_match: IfMatch = None,
    version: Annotated[int | None, Query(description="The same as If-Match, answered with 409.")] = None,
) -> Response:
    """Delete the row. A query with the token in the response no longer finds the document."""
    expected = _expected_version(if_match)
    try:
        written = await services_of(request).documents.delete(
            collection,
            document_id,
            expected_version=expected if expected is not None else version,
        )
    except ConflictError as error:
        if expected is not None:
            raise PreconditionFailedError(str(error)) from error
        raise
    return _written(written)


@router.get(
    "/freshness",
    summary="Wait until a write is visible",
    response_model=VisibleOut,
    responses=problems(401, 422, 424, 503),
)
async def freshness(
    request: Request,
    token: Annotated[str, Query(description="A freshness token, or an LSN.", min_length=1, max_length=4_096)],
    wait_ms: Annotated[float | None, Query(ge=0, le=MAX_WAIT_MS, description="How long to wait at most.")] = None,
) -> Response:
    """Returns as soon as queries see the write, and fails with 503 if that takes longer than allowed."""
    parsed = parse_token(token)
    await services_of(request).operations.wait_visible(parsed, wait_ms)
    return json_response(VisibleOut(token=str(parsed), visible=True))


def _written(written: DocumentWritten, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    all_headers = {TOKEN_HEADER: str(written.token), **(headers or {})}
    if written.document:
        all_headers |= _etag(written.document)
    return json_response(WrittenOut.of(written), status=status, headers=all_headers)


def _etag(document: StoredDocument) -> dict[str, str]:
    return {} if document.version is None else {"ETag": f'"{document.version}"'}


MOST_DIGITS = 18  # of a version


def _expected_version(if_match: str | None) -> int | None:
    """The version that If-Match names, None for ``*`` or no header.

    Raises PreconditionFailedError for a tag that no version of ours can have.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = if_match.strip().removeprefix("W/").strip('"')
    if not tag.isdecimal() or len(tag) > MOST_DIGITS:
        raise PreconditionFailedError(f'If-Match is {if_match}; the ETag of a document is its version, as "3".')
    return int(tag)

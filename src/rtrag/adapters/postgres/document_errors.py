"""What goes wrong with a document's row, in our words: the request's fault, or PostgreSQL's."""

import psycopg

from rtrag.adapters.postgres.connection import domain_error
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import InvalidRequestError, NotFoundError, RtragError, TooSlowError
from rtrag.domain.mapping import TableMapping


def not_found(key: DocumentKey) -> NotFoundError:
    return NotFoundError(f"There is no document {key.id!r} in {key.table}.")


def too_slow(mapping: TableMapping, search: str | None) -> TooSlowError:
    searched = ", ".join((*mapping.key_columns, *([mapping.title] if mapping.title else []), mapping.content))
    advice = (
        f"Search for something longer, or give the table a trigram index (pg_trgm, gin_trgm_ops) on {searched}."
        if search
        else f"Read single documents by their id, or query {mapping.table} in SQL."
    )
    return TooSlowError(f"Listing the documents of {mapping.table} took PostgreSQL too long and was stopped. {advice}")


def document_error(exc: psycopg.Error | UnicodeEncodeError, doing: str) -> RtragError:
    """The request's fault where the values do not fit the table, else what PostgreSQL's errors always mean."""
    if isinstance(exc, UnicodeEncodeError):
        return InvalidRequestError(f"The text cannot be stored in PostgreSQL: {exc.reason}.")
    state = exc.sqlstate or ""
    refused = isinstance(exc, psycopg.DataError | psycopg.IntegrityError | psycopg.errors.RaiseException)
    if refused or state.startswith(("44", "54")):  # a view's check, a program limit such as the size of a key
        return InvalidRequestError(f"PostgreSQL refuses the document: {' '.join(str(exc).split())}")
    return domain_error(exc, doing)

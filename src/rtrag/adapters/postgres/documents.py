"""Documents written through our own API: rows of a writable table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from rtrag.adapters.postgres.document_errors import document_error, not_found, too_slow
from rtrag.adapters.postgres.document_table import Assignment, DocumentTable
from rtrag.domain.document import DocumentKey, Json, StoredDocument
from rtrag.domain.errors import (
    ConflictError,
    InvalidRequestError,
    ServiceUnavailableError,
)
from rtrag.domain.position import parse_lsn
from rtrag.ports.documents import Written

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[Connection]

WRITE_SECONDS = 60
WRITE_LIMIT = f"SET LOCAL statement_timeout = '{WRITE_SECONDS}s'".encode()
LSN = "SELECT pg_current_wal_insert_lsn()::text"


class PostgresDocumentStore:
    """Port DocumentStore. Every write is one transaction of three round trips, the last of which is the commit.

    Reads are stopped after a few seconds (``open_document_stores``): connections are few, and a listing of a large
    table could hold all of them. Writes, which may wait for a lock, have their own limit.

    Rows outside the table's row filter are not documents: they are not found, and cannot be written.
    """

    def __init__(self, pool: Pool, table: DocumentTable) -> None:
        self._pool = pool
        self._table = table
        select = sql.SQL("SELECT {} FROM {}").format(table.selected, table.name)
        by_key = select + sql.SQL(" WHERE {}").format(table.key_matches)
        self._get = by_key.as_bytes(None)  # composing anew would cost as much as a round trip
        self._lock = (by_key + sql.SQL(" FOR UPDATE")).as_bytes(None)
        self._select = select
        self._returning = sql.SQL(" RETURNING {}, {}").format(table.is_document, table.selected)

    async def get(self, key: DocumentKey) -> StoredDocument:
        """The row. Raises NotFoundError."""
        try:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(self._get, self._values(key))).fetchone()
        except (psycopg.DataError, UnicodeEncodeError) as exc:  # text that is no value of the key's type
            raise not_found(key) from exc
        except psycopg.Error as exc:
            raise document_error(exc, f"reading {key.table}") from exc
        if row is None:
            raise not_found(key)
        return self._table.document(row)

    async def list(self, *, limit: int, offset: int, search: str | None = None) -> tuple[Sequence[StoredDocument], int]:
        """A page in key order, and how many there are in all; ``search`` is looked for in key, title and content."""
        table = self._table
        where, parameters = self._where(search)
        page = self._select + where + sql.SQL(" ORDER BY {} LIMIT %s OFFSET %s").format(table.key_order)
        count = sql.SQL("SELECT count(*) FROM {}").format(table.name) + where
        try:
            async with self._pool.connection() as connection, connection.pipeline():
                counted = await connection.execute(count, parameters)
                found = await connection.execute(page, [*parameters, limit, offset])
                rows = await found.fetchall()
                total = await counted.fetchone()
        except psycopg.errors.QueryCanceled as exc:
            raise too_slow(table.mapping, search) from exc
        except (psycopg.Error, UnicodeEncodeError) as exc:
            raise document_error(exc, f"listing {table.mapping.table}") from exc
        return tuple(table.document(row) for row in rows), total[0] if total else 0

    async def create(self, document_id: str | None, title: str, content: str, metadata: Mapping[str, Json]) -> Written:
        """Insert; a missing id is made, by the database if its key has a default."""
        mapping = self._table.mapping
        values = self._new_key(document_id)
        written = [
            *(self._table.assignment(name, value) for name, value in values.items()),
            *self._table.text_assignment(mapping.title, title, "title"),
            *self._table.text_assignment(mapping.content, content, "content"),
            *(item for item in self._table.metadata_assignments(metadata)),
        ]
        if mapping.version and not self._table.columns[mapping.version].has_default:
            written.append(self._table.assignment(mapping.version, "1"))
        written += self._table.filter_assignments(written)
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            self._table.name,
            sql.SQL(", ").join(sql.Identifier(item.column) for item in written),
            sql.SQL(", ").join(item.value for item in written),
        )
        key = DocumentKey(mapping.table, tuple(values.values())) if values else None
        try:
            return await self._insert(key, statement + self._returning, _parameters(written))
        except psycopg.errors.UniqueViolation as exc:
            raise ConflictError(f"The document {document_id!r} exists already: {exc.diag.message_detail}") from exc
        except (psycopg.Error, UnicodeEncodeError) as exc:
            raise document_error(exc, f"writing to {mapping.table}") from exc

    async def update(
        self,
        key: DocumentKey,
        *,
        title: str | None = None,
        content: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        expected_version: int | None = None,
    ) -> Written:
        """Change what is given; metadata is replaced as a whole."""
        mapping = self._table.mapping
        changes: list[Assignment] = []
        if title is not None:
            changes += self._table.text_assignment(mapping.title, title, "title")
        if content is not None:
            changes += self._table.text_assignment(mapping.content, content, "content")
        if metadata is not None:
            changes += self._table.metadata_assignments(metadata)
        if not changes:
            raise InvalidRequestError("Nothing to change: give a title, a content or metadata.")
        if mapping.version:
            counted = sql.SQL("coalesce({}, 0) + 1").format(sql.Identifier(mapping.version))
            changes.append(Assignment(column=mapping.version, value=counted))
        listed = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(item.column), item.value) for item in changes
        )
        statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(self._table.name, listed, self._table.key_matches)
        parameters = [*_parameters(changes), *self._values(key)]
        lsn, row = await self._change(key, expected_version, statement + self._returning, parameters)
        return Written(document=self._table.document(row[1:]), key=key, lsn=lsn)

    async def delete(self, key: DocumentKey, *, expected_version: int | None = None) -> Written:
        """Delete. Raises NotFoundError, ConflictError."""
        statement = sql.SQL("DELETE FROM {} WHERE {}").format(self._table.name, self._table.key_matches)
        lsn, _ = await self._change(key, expected_version, statement + self._returning, self._values(key))
        return Written(document=None, key=key, lsn=lsn)

    async def _insert(self, key: DocumentKey | None, statement: sql.Composed, parameters: Sequence[Any]) -> Written:
        async with self._pool.connection() as connection, connection.transaction():
            async with connection.pipeline():
                await connection.execute(WRITE_LIMIT)
                if key is not None:  # waits for a delete of the same key that is still in progress
                    await connection.execute(self._lock, self._values(key))
                position = await connection.execute(LSN)
            lsn = await _lsn(position)
            row = await (await connection.execute(statement, parameters)).fetchone()
            row = self._still_a_document(row)
        return Written(document=self._table.document(row[1:]), key=self._table.key(row[1:]), lsn=lsn)

    async def _change(
        self, key: DocumentKey, expected_version: int | None, statement: sql.Composed, parameters: Sequence[Any]
    ) -> tuple[int, tuple[Any, ...]]:
        """Lock the row, take the position, check the version, change the row; the position and what it returned."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                lsn, standing = await self._locked(connection, key)
                self._check_version(standing, expected_version)
                row = await (await connection.execute(statement, parameters)).fetchone()
                return lsn, self._still_a_document(row)
        except psycopg.errors.UniqueViolation as exc:
            raise ConflictError(f"The change of {key.id!r} meets another row: {exc.diag.message_detail}") from exc
        except (psycopg.Error, UnicodeEncodeError) as exc:
            raise document_error(exc, f"writing to {key.table}") from exc

    async def _locked(self, connection: Connection, key: DocumentKey) -> tuple[int, StoredDocument]:
        try:
            async with connection.pipeline():
                await connection.execute(WRITE_LIMIT)
                found = await connection.execute(self._lock, self._values(key))
                position = await connection.execute(LSN)
            row = await found.fetchone()
        except (psycopg.DataError, UnicodeEncodeError) as exc:
            raise not_found(key) from exc
        if row is None:
            raise not_found(key)
        return await _lsn(position), self._table.document(row)

    def _check_version(self, standing: StoredDocument, expected: int | None) -> None:
        if expected is None or standing.version == expected:
            return
        if standing.version is None:
            raise InvalidRequestError(
                f"Table {standing.key.table} has no version to compare with; leave the expected version out."
            )
        raise ConflictError(
            f"The document {standing.key.id!r} is at version {standing.version}, not {expected}: someone else changed "
            "it. Read it again and repeat the change."
        )

    def _still_a_document(self, row: tuple[Any, ...] | None) -> tuple[Any, ...]:
        """The returned row, or an error that rolls the change back if the row filter would hide it."""
        if row is None or not row[0]:
            raise InvalidRequestError(
                f"The row would not meet the row filter of {self._table.mapping.table}, so no query could find it."
            )
        return row

    def _values(self, key: DocumentKey) -> tuple[str, ...]:
        mapping = self._table.mapping
        if key.table != mapping.table or len(key.values) != len(mapping.key_columns):
            raise not_found(key)
        return key.values

    def _new_key(self, document_id: str | None) -> dict[str, str]:
        """The key's columns with their values; none if the database makes them."""
        names = self._table.mapping.key_columns
        if document_id is None:
            return self._made_key()
        parts = [document_id] if len(names) == 1 else [unquote(part) for part in document_id.split("/")]
        if len(parts) != len(names) or not all(parts):
            raise InvalidRequestError(f"The id {document_id!r} does not fit the key ({', '.join(names)}).")
        return dict(zip(names, parts, strict=True))

    def _made_key(self) -> dict[str, str]:
        name = self._table.mapping.key_columns[0]
        column = self._table.columns[name]
        if len(self._table.mapping.key_columns) == 1:
            if column.has_default:
                return {}
            if column.category == "S" or column.type == "uuid":
                return {name: str(uuid4())}
        raise InvalidRequestError(f"Give an id: the key of {self._table.mapping.table} cannot be made.")

    def _where(self, search: str | None) -> tuple[sql.Composed, Sequence[str]]:
        condition = self._table.is_document
        if not search:
            return sql.SQL(" WHERE {}").format(condition), ()
        pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        mapping = self._table.mapping
        names = [*mapping.key_columns, *([mapping.title] if mapping.title else []), mapping.content]
        matches = [sql.SQL("{}::text ILIKE %s").format(sql.Identifier(name)) for name in names]
        where = sql.SQL(" WHERE {} AND ({})").format(condition, sql.SQL(" OR ").join(matches))
        return where, (pattern,) * len(names)


async def _lsn(cursor: psycopg.AsyncCursor[tuple[Any, ...]]) -> int:
    row = await cursor.fetchone()
    if row is None:
        raise ServiceUnavailableError("PostgreSQL gave no position for a write.")
    return parse_lsn(row[0])


def _parameters(assignments: Iterable[Assignment]) -> list[Any]:
    return [parameter for item in assignments for parameter in item.parameters]

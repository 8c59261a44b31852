"""Opening the stores of the writable tables: their columns looked up, one pool of connections for all."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from rtrag.adapters.postgres.connection import connected, conninfo, domain_error, quoted, rows
from rtrag.adapters.postgres.document_table import Column, DocumentTable, check_writable
from rtrag.adapters.postgres.documents import Pool, PostgresDocumentStore
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.mapping import TableMapping

CONNECTIONS = 8
WAIT_FOR_CONNECTION_SECONDS = 10.0
RECONNECT_SECONDS = 5.0  # the pool doubles its delays, up to minutes: after this the next request tries at once
LOCK_SECONDS = 10.0
READ_SECONDS = 5.0
_COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, -1), t.typcategory::text,
       a.atthasdef OR a.attidentity <> '', a.attgenerated <> '',
       (SELECT array_position(i.indkey::int2[], a.attnum) FROM pg_index i
        WHERE i.indrelid = a.attrelid AND i.indisprimary)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


@asynccontextmanager
async def open_document_stores(
    url: str,
    mappings: Iterable[TableMapping],
    *,
    lock_seconds: float = LOCK_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> AsyncIterator[Mapping[str, PostgresDocumentStore]]:
    """A store for each writable table, by its name; they share one pool of connections.

    A write waits up to ``lock_seconds`` for a row that another transaction holds, then it is transient. A read that
    takes longer than ``read_seconds`` is stopped.

    Raises ConfigurationError for a table that cannot be written to (template content, no key, missing column), and
    ServiceUnavailableError when the server is away.
    """
    tables = [await _resolve(url, mapping) for mapping in mappings if mapping.writable]
    if not tables:
        yield {}
        return
    limits = {"lock_timeout": f"{lock_seconds * 1000:.0f}ms", "statement_timeout": f"{read_seconds * 1000:.0f}ms"}
    pool: Pool = AsyncConnectionPool(
        conninfo(url, limits),
        min_size=1,
        max_size=CONNECTIONS,
        timeout=WAIT_FOR_CONNECTION_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        kwargs={"autocommit": True},
        check=AsyncConnectionPool.check_connection,
        name="documents",
        open=False,
    )
    async with pool:
        yield {table.mapping.table: PostgresDocumentStore(pool, table) for table in tables}


async def _resolve(url: str, mapping: TableMapping) -> DocumentTable:
    schema, _, name = mapping.table.partition(".")
    async with connected(url) as connection:
        try:
            found = await rows(connection, _COLUMNS, (schema, name), doing=f"looking for table {mapping.table}")
            if not found:
                raise ConfigurationError(
                    f"The table {mapping.table} does not exist.", fix="create it, or correct its name (schema.table)."
                )
            primary = [row[0] for row in sorted((row for row in found if row[5] is not None), key=lambda row: row[5])]
            columns = {
                row[0]: Column(name=row[0], type=row[1], category=row[2], has_default=row[3], generated=row[4])
                for row in found
            }
            complete = replace(mapping, key_columns=mapping.key_columns or tuple(primary))
            check_writable(complete, columns)
            table = DocumentTable(mapping=complete, columns=columns)
            probe = sql.SQL("SELECT 1 FROM {} WHERE {} LIMIT 0").format(table.name, table.is_document)
            await connection.execute(probe)
        except psycopg.Error as exc:
            role, place = quoted(connection.info.user), f"{quoted(schema)}.{quoted(name)}"
            mending = {
                "permission denied for schema": f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {role};",
                "permission denied for table": f"GRANT SELECT, INSERT, UPDATE, DELETE ON {place} TO {role};",
            }
            raise domain_error(exc, f"preparing to write to {mapping.table}", mending) from exc
    return table

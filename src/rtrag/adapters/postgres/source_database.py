"""The source database where somebody else reads its log: checked tables, rows, settled points, the slot's health."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Final

from rtrag.adapters.postgres.catalog import TypeCatalog
from rtrag.adapters.postgres.connection import Connection, Reconnecting, connected, quoted, rows
from rtrag.adapters.postgres.rows import PostgresRowReader
from rtrag.adapters.postgres.settled import Identity, SettledPositions, SettledRowReader
from rtrag.adapters.postgres.slot import slot_health
from rtrag.adapters.postgres.table_check import check_tables
from rtrag.domain.mapping import TableMapping

_TYPES: Final = """
    WITH RECURSIVE standing AS (
        SELECT a.attname::text AS name, t.oid, t.typtype, t.typbasetype
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT s.name, t.oid, t.typtype, t.typbasetype
        FROM standing s JOIN pg_type t ON t.oid = s.typbasetype WHERE s.typtype = 'd'
    )
    SELECT name, CASE typtype WHEN 'e' THEN 'enum' ELSE format_type(oid, NULL) END FROM standing WHERE typtype <> 'd'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDatabase:
    """Made by ``open_source_database``.

    ``mappings`` have their key columns filled in; ``column_types`` are names by table and column, that of a domain's
    base for domains and ``enum`` for every enum.
    """

    mappings: tuple[TableMapping, ...]
    column_types: Mapping[str, Mapping[str, str]]
    identity: Identity
    rows: PostgresRowReader
    rows_apart: SettledRowReader
    positions: SettledPositions
    connection: Reconnecting

    async def slot_health(self, slot: str) -> Mapping[str, int | str | None]:
        """Numbers to watch, as in SlotHealth."""
        return asdict(await slot_health(await self.connection.get(), slot))


@asynccontextmanager
async def open_source_database(url: str, mappings: Sequence[TableMapping]) -> AsyncIterator[SourceDatabase]:
    """Check the tables and keep connections for reading.

    Raises ConfigurationError where a person has to act, ServiceUnavailableError while the server is away.
    """
    async with connected(url) as admin:
        checked = await check_tables(admin, mappings)
        types = {table.wanted.table: await _column_types(admin, table.wanted.table) for table in checked}
    # Commits of others that are not flushed yet lie below a message only if the message is flushed itself.
    connection = Reconnecting(url, {"synchronous_commit": "local"})
    settling, reading = Reconnecting(url), Reconnecting(url)
    shapes = {table.wanted.table: table.shape for table in checked}
    reader = PostgresRowReader(reading, TypeCatalog(connection), shapes)
    positions = SettledPositions(connection)
    try:
        yield SourceDatabase(
            mappings=tuple(shape.mapping for shape in shapes.values()),
            identity=await positions.identity(),
            column_types=types,
            rows=reader,
            rows_apart=SettledRowReader(settling, reader),
            positions=positions,
            connection=connection,
        )
    finally:
        for each in (connection, settling, reading):
            await each.close()


async def _column_types(connection: Connection, table: str) -> Mapping[str, str]:
    schema, _, name = table.partition(".")
    doing = f"reading the types of {table}"
    return dict(await rows(connection, _TYPES, (f"{quoted(schema)}.{quoted(name)}",), doing=doing))

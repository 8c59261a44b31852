"""The publication: what it has to carry, what it carries, and the SQL between the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rtrag.adapters.postgres.connection import Connection, mapped, quoted, rows
from rtrag.domain.errors import ConfigurationError

_MARK: Final = "Managed by rtrag: tables and columns are set at its start."
_COLUMN_LISTS_SINCE: Final = 150_000
_GENERATED_SINCE: Final = 180_000
_OPERATIONS: Final = "insert, update, delete, truncate"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTable:
    """A table to publish.

    ``needed`` are the columns that must arrive. ``listed`` is the column list to publish, None for all columns: it
    has to contain the replica identity, or PostgreSQL would refuse the user's own updates.
    """

    table: str
    needed: tuple[str, ...]
    listed: tuple[str, ...] | None
    generated: bool = False
    partitioned: bool = False

    @property
    def sql(self) -> str:
        schema, _, name = self.table.partition(".")
        columns = f" ({', '.join(quoted(column) for column in self.listed)})" if self.listed is not None else ""
        return f"{'' if self.partitioned else 'ONLY '}{quoted(schema)}.{quoted(name)}{columns}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """``columns`` None where the server does not say (before 15: all)."""

    columns: frozenset[str] | None
    row_filter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A publication as it stands. ``ours`` if we made it and may change it."""

    name: str
    ours: bool
    owned: bool
    all_operations: bool
    tables: Mapping[str, PublishedTable]


async def publication(connection: Connection, name: str) -> Publication | None:
    """The publication as it stands, None if there is none."""
    query = """
        SELECT pg_has_role(pubowner, 'USAGE'), coalesce(obj_description(oid, 'pg_publication'), '') = $2,
               pubinsert AND pubupdate AND pubdelete AND pubtruncate
        FROM pg_publication WHERE pubname = $1
    """
    found = await rows(connection, query, (name, _MARK), doing=f"looking for publication {name!r}")
    if not found:
        return None
    owned, ours, all_operations = found[0]
    details = "attnames::text[], rowfilter"
    if connection.info.server_version < _COLUMN_LISTS_SINCE:
        details = "NULL, NULL"
    query = f"SELECT schemaname || '.' || tablename, {details} FROM pg_publication_tables WHERE pubname = $1"
    tables = await rows(connection, query, (name,), doing=f"reading publication {name!r}")
    return Publication(
        name=name,
        ours=ours,
        owned=owned,
        all_operations=all_operations,
        tables={
            table: PublishedTable(columns=None if columns is None else frozenset(columns), row_filter=row_filter)
            for table, columns, row_filter in tables
        },
    )


def gaps(found: Publication | None, wanted: Sequence[WantedTable]) -> dict[str, str]:
    """Tables whose changes the publication does not carry in full, with the reason."""
    if found is None:
        return {table.table: "there was no publication" for table in wanted}
    reasons = {table.table: _gap(found, table) for table in wanted}
    return {table: reason for table, reason in reasons.items() if reason is not None}


def _gap(found: Publication, wanted: WantedTable) -> str | None:
    published = found.tables.get(wanted.table)
    if published is None:
        return "not in the publication" + (" under its own name" if wanted.partitioned else "")
    if not found.all_operations:
        return f"not all of {_OPERATIONS} were published"
    if published.row_filter:
        return f"the publication filtered rows: {published.row_filter}"
    absent = [column for column in wanted.needed if published.columns is not None and column not in published.columns]
    return f"columns not published: {', '.join(absent)}" if absent else None


def create_statements(name: str, wanted: Sequence[WantedTable], version: int) -> tuple[str, ...]:
    """The SQL that makes the publication."""
    tables = ", ".join(table.sql for table in wanted)
    return (
        f"CREATE PUBLICATION {quoted(name)} FOR TABLE {tables} WITH ({_options(wanted, version)});",
        f"COMMENT ON PUBLICATION {quoted(name)} IS '{_MARK}';",
    )


def alter_statements(name: str, wanted: Sequence[WantedTable], version: int) -> tuple[str, ...]:
    """The SQL that makes an existing publication fit."""
    tables = ", ".join(table.sql for table in wanted)
    return (
        f"ALTER PUBLICATION {quoted(name)} SET TABLE {tables};",
        f"ALTER PUBLICATION {quoted(name)} SET ({_options(wanted, version)});",
    )


async def ensure_publication(connection: Connection, name: str, wanted: Sequence[WantedTable]) -> dict[str, str]:
    """Make the publication carry every table; returns what it did not carry before, with the reasons.

    A publication that we did not make is never changed. Raises ConfigurationError with the SQL that mends it.
    """
    found = await publication(connection, name)
    before = gaps(found, wanted)
    extra = sorted(found.tables.keys() - {table.table for table in wanted}) if found is not None and found.ours else []
    if not before and not extra:
        return {}
    version = connection.info.server_version
    if found is None:
        statements = create_statements(name, wanted, version)
    elif found.ours and found.owned:
        statements = alter_statements(name, wanted, version)
    elif not before:
        return {}
    else:
        raise _does_not_fit(found, before, wanted, version)
    await _run(connection, name, statements)
    remaining = gaps(await publication(connection, name), wanted)
    if remaining:
        raise ConfigurationError(
            f"Publication {name!r} does not carry {', '.join(sorted(remaining))} although it was just set: "
            f"{'; '.join(sorted(remaining.values()))}.",
            fix=f"look at pg_publication_tables, or let it be made anew: DROP PUBLICATION {quoted(name)};",
        )
    return before


async def _run(connection: Connection, name: str, statements: Sequence[str]) -> None:
    try:
        with mapped(f"setting publication {name!r}"):
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(statement.encode())
    except ConfigurationError as exc:
        raise ConfigurationError(
            f"Publication {name!r} could not be set: {exc.message}",
            fix="run this as a superuser, or as the owner of the tables if that role may create in the database: "
            + " ".join(statements),
        ) from exc


def _does_not_fit(
    found: Publication, reasons: Mapping[str, str], wanted: Sequence[WantedTable], version: int
) -> ConfigurationError:
    told = "; ".join(f"{table}: {reason}" for table, reason in sorted(reasons.items()))
    statements = " ".join(_mending(found, reasons, wanted, version))
    return ConfigurationError(
        f"Publication {found.name!r} was not made by rtrag and does not carry what is needed ({told}).",
        fix=f"let its owner run: {statements} Or choose another name (RTRAG_SOURCE__PUBLICATION).",
    )


def _mending(
    found: Publication, reasons: Mapping[str, str], wanted: Sequence[WantedTable], version: int
) -> tuple[str, ...]:
    """SQL that adds what is missing and leaves the other tables alone."""
    name = quoted(found.name)
    broken = [table for table in wanted if table.table in reasons]
    drop = [table for table in broken if table.table in found.tables]
    statements = [f"ALTER PUBLICATION {name} SET ({_options(wanted, version)});"]
    if drop:
        tables = ", ".join(f"{quoted(t.table.partition('.')[0])}.{quoted(t.table.partition('.')[2])}" for t in drop)
        statements.append(f"ALTER PUBLICATION {name} DROP TABLE {tables};")
    statements.append(f"ALTER PUBLICATION {name} ADD TABLE {', '.join(table.sql for table in broken)};")
    return tuple(statements)


def _options(wanted: Sequence[WantedTable], version: int) -> str:
    options = f"publish = '{_OPERATIONS}', publish_via_partition_root = true"
    if version >= _GENERATED_SINCE and any(table.generated for table in wanted):
        options += ", publish_generated_columns = stored"
    return options

"""Whether a table can be captured, checked before capture starts; every complaint names the SQL that mends it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rtrag.adapters.postgres.connection import Connection, quoted
from rtrag.adapters.postgres.publication import WantedTable
from rtrag.adapters.postgres.query import TableShape
from rtrag.adapters.postgres.table_catalog import CatalogTable, has_unique_key, load_table
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.mapping import TableMapping

_COLUMN_LISTS_SINCE: Final = 150_000
_GENERATED_SINCE: Final = 180_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTable:
    """A table that can be captured: its shape (key columns filled in) and what to publish of it."""

    shape: TableShape
    wanted: WantedTable


async def check_tables(
    connection: Connection, mappings: Sequence[TableMapping], *, column_lists: bool = True
) -> tuple[CheckedTable, ...]:
    """Check every table. Raises ConfigurationError at the first that cannot be captured."""
    if not mappings:
        raise ConfigurationError("No table is configured.", fix="name at least one table in the configuration")
    lists = column_lists and connection.info.server_version >= _COLUMN_LISTS_SINCE
    return tuple([await _check_table(connection, mapping, lists=lists) for mapping in mappings])


async def _check_table(connection: Connection, mapping: TableMapping, *, lists: bool) -> CheckedTable:
    table = await load_table(connection, mapping)
    _check_kind(mapping, table)
    _check_identity(mapping, table)
    key = await _key_of(connection, mapping, table)
    filled = replace(mapping, key_columns=key)
    _check_columns(filled, table, connection.info.server_version)
    identity = _identity_columns(table)
    _check_covers(filled, table, identity)
    schema, _, name = mapping.table.partition(".")
    whole = not lists or identity is None or table.special_leaves
    return CheckedTable(
        shape=TableShape(
            mapping=filled,
            schema=schema,
            name=name,
            key_types=tuple(table.columns[column].kind for column in key),
            column_types=tuple(table.columns[column].kind for column in filled.columns),
            partitioned=table.kind == "p",
        ),
        wanted=WantedTable(
            table=mapping.table,
            needed=filled.columns,
            listed=None if whole else tuple(dict.fromkeys((*(identity or ()), *filled.columns))),
            generated=any(table.columns[column].generated for column in filled.columns),
            partitioned=table.kind == "p",
        ),
    )


def _check_kind(mapping: TableMapping, table: CatalogTable) -> None:
    if table.kind not in {"r", "p"}:
        raise ConfigurationError(
            f"{mapping.table} is not a table (views and foreign tables have no changes to read).",
            fix="configure the table behind it",
        )
    if table.persistence != "p":
        raise ConfigurationError(
            f"Table {mapping.table} is unlogged or temporary: its changes are not in the log.",
            fix=f"ALTER TABLE {_sql(mapping.table)} SET LOGGED;",
        )
    if table.row_security:
        raise ConfigurationError(
            f"Row level security hides rows of {mapping.table} from this role: the copy would lack them.",
            fix=f"ALTER ROLE {quoted(table.role)} BYPASSRLS; and restrict documents by row_filter instead",
        )


def _check_identity(mapping: TableMapping, table: CatalogTable) -> None:
    name = _sql(mapping.table)
    if table.replica_identity == "n":
        mend = "DEFAULT" if table.primary_key else "FULL"
        raise ConfigurationError(
            f"Table {mapping.table} has REPLICA IDENTITY NOTHING: once published, PostgreSQL would refuse its updates "
            "and deletes.",
            fix=f"ALTER TABLE {name} REPLICA IDENTITY {mend};",
        )
    if table.loose_leaves:
        statements = " ".join(f"ALTER TABLE {leaf} REPLICA IDENTITY DEFAULT;" for leaf in table.loose_leaves)
        raise ConfigurationError(
            f"Partitions of {mapping.table} have REPLICA IDENTITY NOTHING: once published, PostgreSQL would refuse "
            "their updates and deletes.",
            fix=statements,
        )
    if table.replica_identity == "d" and not table.primary_key:
        raise ConfigurationError(
            f"Table {mapping.table} has no primary key: once published, PostgreSQL would refuse its updates and "
            "deletes, and documents would have no identity.",
            fix=f"ALTER TABLE {name} ADD PRIMARY KEY ({_key_columns(mapping, table)});",
        )


def _key_columns(mapping: TableMapping, table: CatalogTable) -> str:
    """The columns to make the primary key of, in SQL, as far as that can be known."""
    columns = mapping.key_columns or (("id",) if "id" in table.columns else ())
    return ", ".join(quoted(column) for column in columns) or "<columns>"


async def _key_of(connection: Connection, mapping: TableMapping, table: CatalogTable) -> tuple[str, ...]:
    if not mapping.key_columns:
        if not table.primary_key:
            raise ConfigurationError(
                f"Table {mapping.table} has no primary key and no key is configured.",
                fix=f"ALTER TABLE {_sql(mapping.table)} ADD PRIMARY KEY ({_key_columns(mapping, table)}); or "
                "configure the key columns",
            )
        return table.primary_key
    for column in mapping.key_columns:
        if column in table.columns and not table.columns[column].not_null:
            raise ConfigurationError(
                f"Key column {column!r} of {mapping.table} may be null.",
                fix=f"ALTER TABLE {_sql(mapping.table)} ALTER COLUMN {quoted(column)} SET NOT NULL;",
            )
    if not await has_unique_key(connection, mapping, table):
        columns = ", ".join(quoted(column) for column in mapping.key_columns)
        raise ConfigurationError(
            f"The configured key ({columns}) of {mapping.table} is not unique.",
            fix=f"ALTER TABLE {_sql(mapping.table)} ADD UNIQUE ({columns}); or leave the key to the primary key",
        )
    return mapping.key_columns


def _let_in(mapping: TableMapping, table: CatalogTable) -> str:
    return f"GRANT USAGE ON SCHEMA {quoted(mapping.table.partition('.')[0])} TO {quoted(table.role)};"


def _check_columns(mapping: TableMapping, table: CatalogTable, version: int) -> None:
    if not table.schema_usable:
        raise ConfigurationError(
            f"Role {table.role!r} may not use the schema of {mapping.table}.", fix=_let_in(mapping, table)
        )
    absent = [column for column in mapping.columns if column not in table.columns]
    if absent:
        raise ConfigurationError(
            f"Table {mapping.table} has no column {', '.join(map(repr, absent))}; it has {', '.join(table.columns)}.",
            fix="correct the mapping in the configuration",
        )
    for name in mapping.columns:
        column = table.columns[name]
        if not column.readable:
            raise ConfigurationError(
                f"Role {table.role!r} may not read column {name!r} of {mapping.table}.",
                fix=f"GRANT SELECT ON {_sql(mapping.table)} TO {quoted(table.role)}; {_let_in(mapping, table)}",
            )
        if column.generated == "v" or (column.generated and version < _GENERATED_SINCE):
            raise ConfigurationError(
                f"Column {name!r} of {mapping.table} is generated: this server does not publish its values.",
                fix="map the columns that it is made of, or make it an ordinary column filled by a trigger",
            )


def _identity_columns(table: CatalogTable) -> tuple[str, ...] | None:
    """The columns that a delete carries; None for all."""
    if table.replica_identity == "f":
        return None
    return table.identity_index if table.replica_identity == "i" else table.primary_key


def _check_covers(mapping: TableMapping, table: CatalogTable, identity: tuple[str, ...] | None) -> None:
    if identity is None or set(mapping.key_columns) <= set(identity):
        return
    mend = "DEFAULT" if set(mapping.key_columns) <= set(table.primary_key) else "FULL"
    raise ConfigurationError(
        f"The replica identity of {mapping.table} is ({', '.join(identity)}) and does not contain the key "
        f"({', '.join(mapping.key_columns)}): deletes would not say which document went.",
        fix=f"ALTER TABLE {_sql(mapping.table)} REPLICA IDENTITY {mend};",
    )


def _sql(table: str) -> str:
    schema, _, name = table.partition(".")
    return f"{quoted(schema)}.{quoted(name)}"

"""What has to hold before capture may start, checked once; every complaint names the SQL that mends it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rtrag.adapters.postgres.connection import Connection, rows
from rtrag.adapters.postgres.publication import WantedTable
from rtrag.adapters.postgres.query import TableShape, quoted
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.mapping import TableMapping

_OLDEST: Final = 140_000
_COLUMN_LISTS_SINCE: Final = 150_000
_GENERATED_SINCE: Final = 180_000

_SERVER = """
SELECT current_setting('wal_level'), pg_is_in_recovery(), current_user::text,
       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1),
       current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
       OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'MEMBER'))
"""
_TABLE = """
SELECT c.oid::bigint, c.relkind::text, c.relpersistence::text, c.relreplident::text, row_security_active(c.oid),
       ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, place)
             JOIN pg_attribute a ON a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND k.place <= i.indnkeyatts
             ORDER BY k.place),
       ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attnum = ANY(i.indkey)
             WHERE i.indrelid = c.oid AND i.indisreplident AND a.attrelid = c.oid),
       ARRAY(SELECT format('%I.%I', n2.nspname, l.relname) FROM pg_partition_tree(c.oid) t
             JOIN pg_class l ON l.oid = t.relid JOIN pg_namespace n2 ON n2.oid = l.relnamespace
             WHERE t.isleaf AND l.relkind = 'r' AND l.relreplident = 'n'),
       EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid
               WHERE t.isleaf AND l.relreplident NOT IN ('d', 'n'))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2
"""
_COLUMNS = """
SELECT attname::text, format_type(atttypid, atttypmod), attgenerated::text, attnotnull,
       has_column_privilege(attrelid, attnum, 'SELECT')
FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
"""
_UNIQUE = """
SELECT EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
      AND $2::text[] @> ARRAY(SELECT a.attname::text FROM pg_attribute a
                              WHERE a.attrelid = i.indrelid AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]))
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    kind: str
    generated: str
    not_null: bool
    readable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table's row in the catalog; ``loose_leaves`` are partitions without replica identity."""

    oid: int
    kind: str
    persistence: str
    replica_identity: str
    row_security: bool
    primary_key: tuple[str, ...]
    identity_index: tuple[str, ...]
    loose_leaves: tuple[str, ...]
    special_leaves: bool
    columns: dict[str, _Column]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTable:
    """A table that can be captured: its shape (key columns filled in) and what to publish of it."""

    shape: TableShape
    wanted: WantedTable


async def check_server(connection: Connection, slot: str) -> None:
    """Raise ConfigurationError unless the server can stream changes to this role."""
    version = connection.info.server_version
    if version < _OLDEST:
        raise ConfigurationError(
            f"PostgreSQL {version // 10_000} is too old: 14 or newer is needed.", fix="upgrade the server"
        )
    found = await rows(connection, _SERVER, (slot,), doing="checking the server")
    wal_level, recovery, role, slots, slots_used, exists, senders, senders_used, may_replicate = found[0]
    if recovery:
        raise ConfigurationError("The server is a standby.", fix="point the URL to the primary")
    if wal_level != "logical":
        raise ConfigurationError(
            f"wal_level is {wal_level!r}, so the server writes no log that changes can be read from.",
            fix="ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL",
        )
    if not may_replicate:
        raise ConfigurationError(
            f"Role {role!r} may not replicate.",
            fix=f"ALTER ROLE {quoted(role)} REPLICATION; (on Amazon RDS: GRANT rds_replication TO {quoted(role)};)",
        )
    if not exists and slots_used >= slots:
        raise ConfigurationError(
            f"All {slots} replication slots of the server are in use.",
            fix=f"ALTER SYSTEM SET max_replication_slots = {slots + 5}; then restart PostgreSQL; or drop one that "
            "nobody needs: SELECT slot_name, active FROM pg_replication_slots;",
        )
    if senders_used >= senders:
        raise ConfigurationError(
            f"All {senders} WAL senders of the server are in use.",
            fix=f"ALTER SYSTEM SET max_wal_senders = {senders + 5}; then restart PostgreSQL",
        )


async def check_tables(
    connection: Connection, mappings: Sequence[TableMapping], *, column_lists: bool = True
) -> tuple[CheckedTable, ...]:
    """Check every table. Raises ConfigurationError at the first that cannot be captured."""
    if not mappings:
        raise ConfigurationError("No table is configured.", fix="name at least one table in the configuration")
    lists = column_lists and connection.info.server_version >= _COLUMN_LISTS_SINCE
    return tuple([await _check_table(connection, mapping, lists=lists) for mapping in mappings])


async def _check_table(connection: Connection, mapping: TableMapping, *, lists: bool) -> CheckedTable:
    table = await _load(connection, mapping)
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


async def _load(connection: Connection, mapping: TableMapping) -> _Table:
    schema, dot, name = mapping.table.partition(".")
    if not dot:
        raise ConfigurationError(
            f"Table {mapping.table!r} is named without its schema.", fix=f"write public.{mapping.table}"
        )
    found = await rows(connection, _TABLE, (schema, name), doing=f"looking for table {mapping.table}")
    if not found:
        raise ConfigurationError(
            f"Table {mapping.table} does not exist in database {connection.info.dbname!r}.",
            fix="create it, or correct its name (schema.table) in the configuration",
        )
    oid, kind, persistence, replica_identity, row_security, primary, index, leaves, special = found[0]
    columns: list[tuple[Any, ...]] = await rows(connection, _COLUMNS, (oid,), doing=f"reading {mapping.table}")
    return _Table(
        oid=oid,
        kind=kind,
        persistence=persistence,
        replica_identity=replica_identity,
        row_security=row_security,
        primary_key=tuple(primary),
        identity_index=tuple(index),
        loose_leaves=tuple(leaves),
        special_leaves=special,
        columns={
            column: _Column(kind=type_name, generated=generated, not_null=not_null, readable=readable)
            for column, type_name, generated, not_null, readable in columns
        },
    )


def _check_kind(mapping: TableMapping, table: _Table) -> None:
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
            fix="ALTER ROLE <this role> BYPASSRLS; and restrict documents by row_filter instead",
        )


def _check_identity(mapping: TableMapping, table: _Table) -> None:
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
            fix=f"ALTER TABLE {name} ADD PRIMARY KEY (<columns>);",
        )


async def _key_of(connection: Connection, mapping: TableMapping, table: _Table) -> tuple[str, ...]:
    if not mapping.key_columns:
        if not table.primary_key:
            raise ConfigurationError(
                f"Table {mapping.table} has no primary key and no key is configured.",
                fix=f"ALTER TABLE {_sql(mapping.table)} ADD PRIMARY KEY (<columns>); or configure the key columns",
            )
        return table.primary_key
    for column in mapping.key_columns:
        if column in table.columns and not table.columns[column].not_null:
            raise ConfigurationError(
                f"Key column {column!r} of {mapping.table} may be null.",
                fix=f"ALTER TABLE {_sql(mapping.table)} ALTER COLUMN {quoted(column)} SET NOT NULL;",
            )
    parameters = (table.oid, list(mapping.key_columns))
    found = await rows(connection, _UNIQUE, parameters, doing=f"checking the key of {mapping.table}")
    if not found[0][0]:
        columns = ", ".join(quoted(column) for column in mapping.key_columns)
        raise ConfigurationError(
            f"The configured key ({columns}) of {mapping.table} is not unique.",
            fix=f"ALTER TABLE {_sql(mapping.table)} ADD UNIQUE ({columns}); or leave the key to the primary key",
        )
    return mapping.key_columns


def _check_columns(mapping: TableMapping, table: _Table, version: int) -> None:
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
                f"This role may not read column {name!r} of {mapping.table}.",
                fix=f"GRANT SELECT ON {_sql(mapping.table)} TO <this role>; GRANT USAGE ON SCHEMA "
                f"{quoted(mapping.table.partition('.')[0])} TO <this role>;",
            )
        if column.generated == "v" or (column.generated and version < _GENERATED_SINCE):
            raise ConfigurationError(
                f"Column {name!r} of {mapping.table} is generated: this server does not publish its values.",
                fix="map the columns that it is made of, or make it an ordinary column filled by a trigger",
            )


def _identity_columns(table: _Table) -> tuple[str, ...] | None:
    """The columns that a delete carries; None for all."""
    if table.replica_identity == "f":
        return None
    return table.identity_index if table.replica_identity == "i" else table.primary_key


def _check_covers(mapping: TableMapping, table: _Table, identity: tuple[str, ...] | None) -> None:
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

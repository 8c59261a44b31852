"""What the system catalog says of a table that is to be captured."""

from dataclasses import dataclass
from typing import Any

from rtrag.adapters.postgres.connection import Connection, rows
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.mapping import TableMapping

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
               WHERE t.isleaf AND l.relreplident NOT IN ('d', 'n')),
       current_user::text, has_schema_privilege(n.oid, 'USAGE')
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
class CatalogColumn:
    """A column; ``kind`` is its type in SQL, ``readable`` whether this role may read it."""

    kind: str
    generated: str
    not_null: bool
    readable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTable:
    """A table's row in the catalog; ``loose_leaves`` are partitions without replica identity.

    ``role`` is who asks, and ``schema_usable`` whether it may look anything up in the table's schema.
    """

    oid: int
    kind: str
    persistence: str
    replica_identity: str
    row_security: bool
    primary_key: tuple[str, ...]
    identity_index: tuple[str, ...]
    loose_leaves: tuple[str, ...]
    special_leaves: bool
    role: str
    schema_usable: bool
    columns: dict[str, CatalogColumn]


async def load_table(connection: Connection, mapping: TableMapping) -> CatalogTable:
    """Look a mapped table up. Raises ConfigurationError if it does not exist."""
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
    oid, kind, persistence, replica_identity, row_security, primary, index, leaves, special, role, usable = found[0]
    columns: list[tuple[Any, ...]] = await rows(connection, _COLUMNS, (oid,), doing=f"reading {mapping.table}")
    return CatalogTable(
        oid=oid,
        kind=kind,
        persistence=persistence,
        replica_identity=replica_identity,
        row_security=row_security,
        primary_key=tuple(primary),
        identity_index=tuple(index),
        loose_leaves=tuple(leaves),
        special_leaves=special,
        role=role,
        schema_usable=usable,
        columns={
            column: CatalogColumn(kind=type_name, generated=generated, not_null=not_null, readable=readable)
            for column, type_name, generated, not_null, readable in columns
        },
    )


async def has_unique_key(connection: Connection, mapping: TableMapping, table: CatalogTable) -> bool:
    """Whether an index keeps the configured key columns, or some of them, unique."""
    parameters = (table.oid, list(mapping.key_columns))
    found = await rows(connection, _UNIQUE, parameters, doing=f"checking the key of {mapping.table}")
    return bool(found[0][0])

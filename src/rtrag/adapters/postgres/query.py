"""Reading rows of a mapped table by key, as raw text: the same bytes that the stream would carry."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from rtrag.adapters.postgres.catalog import TypeCatalog
from rtrag.adapters.postgres.connection import Connection, mapped, quoted, rows
from rtrag.adapters.postgres.layout import Layout, layout_of
from rtrag.adapters.postgres.replication_messages import TooLarge
from rtrag.domain.conditions import Condition
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.domain.mapping import TableMapping

_INTEGER_BITS: Final = {"smallint": 15, "integer": 31, "bigint": 63}
_TEXTS: Final = frozenset({"text", "character varying"})


class Raw(bytes):
    """A parameter in PostgreSQL's text form, of the type that the query gives it."""

    __slots__ = ()


class _RawDumper(Dumper):
    format = Format.TEXT
    oid = 0

    def dump(self, obj: Raw) -> Buffer:
        return bytes(obj)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """A mapped table as it stands in the catalog.

    ``key_types`` are the key columns' types in SQL, ``column_types`` those of every mapped column. A value of more than
    ``largest_value`` bytes is TooLarge.
    """

    mapping: TableMapping
    schema: str
    name: str
    key_types: tuple[str, ...]
    column_types: tuple[str, ...]
    partitioned: bool = False
    largest_value: int = sys.maxsize

    @property
    def identifier(self) -> str:
        return quoted(self.schema) + "." + quoted(self.name)

    @property
    def select(self) -> str:
        """The mapped columns and the table."""
        columns = ", ".join(quoted(column) for column in self.mapping.columns)
        only = "" if self.partitioned else "ONLY "  # rows of inheriting tables are not in the stream either
        return f"SELECT {columns} FROM {only}{self.identifier}"


Statement = tuple[str, tuple[Any, ...]]
RawRow = tuple[bytes | TooLarge | None, ...]


class PageQuery:
    """Pages of a table in key order, each found by the key that the one before ended with."""

    def __init__(self, shape: TableShape, size: int) -> None:
        self.shape = shape
        self._size = size
        self._keys = ", ".join(quoted(column) for column in shape.mapping.key_columns)

    def at(self, after: Sequence[bytes] | None) -> Statement:
        """The query for the rows that follow this key."""
        conditions, parameters = pushed_down(self.shape)
        if after is not None:
            casts = ", ".join(
                f"${len(parameters) + number}::{kind}" for number, kind in enumerate(self.shape.key_types, start=1)
            )
            conditions = (*conditions, f"({self._keys}) > ({casts})")
            parameters = (*parameters, *(Raw(value) for value in after))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"{self.shape.select}{where} ORDER BY {self._keys} LIMIT {self._size}", parameters

    def key_bytes(self, layout: Layout, row: RawRow) -> tuple[bytes, ...]:
        """The key of a row, to go on from."""
        values = (row[place] for place in layout.keys)
        return tuple(value if isinstance(value, bytes) else b"" for value in values)


def keys_query(shape: TableShape, keys: Sequence[Sequence[str]]) -> Statement:
    """The query for the rows of these keys."""
    columns = ", ".join(quoted(column) for column in shape.mapping.key_columns)
    width = len(shape.key_types)
    tuples = ", ".join(
        "(" + ", ".join(f"${place * width + at}::{kind}" for at, kind in enumerate(shape.key_types, start=1)) + ")"
        for place in range(len(keys))
    )
    parameters = tuple(Raw(value.encode("utf-8", "surrogateescape")) for key in keys for value in key)
    return f"{shape.select} WHERE ({columns}) IN ({tuples})", parameters


def pushed_down(shape: TableShape) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """The conditions of the row filter that mean the same in SQL; mapping a row checks them all again."""
    types = dict(zip(shape.mapping.columns, shape.column_types, strict=False))
    conditions: list[str] = []
    parameters: list[Any] = []
    for condition in shape.mapping.row_filter:
        values = _comparable(condition, types.get(condition.field, ""))
        if values:
            kind = types[condition.field]
            marks = ", ".join(f"${len(parameters) + number}::{kind}" for number in range(1, len(values) + 1))
            conditions.append(f"{quoted(condition.field)} IN ({marks})")
            parameters.extend(Raw(value.encode()) for value in values)
    return tuple(conditions), tuple(parameters)


async def fetch(
    connection: Connection, catalog: TypeCatalog, statement: Statement, shape: TableShape
) -> tuple[Layout, list[RawRow]]:
    """Run a query and lay its rows out."""
    query, parameters = statement
    with mapped(f"reading {shape.mapping.table}"):
        connection.adapters.register_dumper(Raw, _RawDumper)
        cursor = await connection.execute(query.encode(), parameters or None)
    result = cursor.pgresult
    if result is None:
        raise ServiceUnavailableError(f"PostgreSQL gave no result while reading {shape.mapping.table}")
    columns = [
        ((result.fname(place) or b"").decode("utf-8", "replace"), result.ftype(place))
        for place in range(result.nfields)
    ]
    width = result.nfields
    found = [
        tuple(_bounded(result.get_value(row, place), shape.largest_value) for place in range(width))
        for row in range(result.ntuples)
    ]
    converters = await catalog.converters(oid for _, oid in columns)
    return layout_of(shape.mapping, columns, converters), found


def _bounded(value: bytes | None, largest: int) -> bytes | TooLarge | None:
    if value is None or len(value) <= largest:
        return value
    return TooLarge.of(value)


async def estimate(connection: Connection, shape: TableShape) -> int:
    """The planner's idea of the number of rows: also for tables never analyzed, and for partitioned ones."""
    query = f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {shape.identifier}"
    found = await rows(connection, query, doing=f"estimating {shape.mapping.table}")
    plan = found[0][0]
    parsed = json.loads(plan) if isinstance(plan, str) else plan
    return int(parsed[0]["Plan"]["Plan Rows"])


def _comparable(condition: Condition, kind: str) -> tuple[str, ...]:
    """The values in text form if equality in SQL is equality of the mapped values, else nothing."""
    if condition.operator not in {"eq", "in"}:
        return ()
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if kind in _TEXTS and all(isinstance(value, str) and "\0" not in value for value in values):
        return tuple(str(value) for value in values)
    bits = _INTEGER_BITS.get(kind)
    if bits is not None and all(type(value) is int and -(2**bits) <= value < 2**bits for value in values):
        return tuple(str(value) for value in values)
    return ()

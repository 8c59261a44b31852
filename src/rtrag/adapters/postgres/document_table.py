"""A writable table as it is in the database: its columns, and the SQL that reads and changes documents in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from rtrag.domain.conditions import Condition
from rtrag.domain.document import DocumentKey, Json, Scalar, StoredDocument
from rtrag.domain.errors import ConfigurationError, InvalidRequestError
from rtrag.domain.mapping import TableMapping

JSON_TYPES = frozenset({"json", "jsonb"})
TIME_TYPES = frozenset({"timestamp with time zone", "timestamp without time zone"})
_OPERATORS: Mapping[str, str] = {"eq": "=", "ne": "IS DISTINCT FROM", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its type in SQL, whether the database fills it in, and whether it may be written at all."""

    name: str
    type: str
    category: str
    has_default: bool
    generated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A column and what is written to it: SQL with its parameters."""

    column: str
    value: sql.Composable
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTable:
    """A table whose rows are written as documents."""

    mapping: TableMapping
    columns: Mapping[str, Column]

    @property
    def name(self) -> sql.Composable:
        schema, _, table = self.mapping.table.partition(".")
        return sql.Identifier(schema, table)

    @property
    def json_column(self) -> str | None:
        """The metadata column that takes every field without a column of its own."""
        return next((name for name in self.mapping.metadata if self.columns[name].type in JSON_TYPES), None)

    @property
    def key_order(self) -> sql.Composable:
        return sql.SQL(", ").join(map(sql.Identifier, self.mapping.key_columns))

    @property
    def selected(self) -> sql.Composable:
        """What ``document`` reads: the key's columns, the rest in a fixed order, each metadata column as JSON."""
        keys = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in self.mapping.key_columns]
        metadata = [sql.SQL("to_jsonb({})").format(sql.Identifier(name)) for name in self.mapping.metadata]
        fixed = [
            self._text(self.mapping.title),
            self._text(self.mapping.content),
            sql.SQL("{}::bigint").format(sql.Identifier(self.mapping.version))
            if self.mapping.version
            else sql.SQL("NULL"),
            self._time("created_at"),
            self._time("updated_at"),
        ]
        return sql.SQL(", ").join([*keys, *fixed, *metadata])

    def document(self, row: Sequence[Any]) -> StoredDocument:
        """The document in a row of ``selected``."""
        width = len(self.mapping.key_columns)
        title, content, version, created_at, updated_at = row[width : width + 5]
        metadata: dict[str, Json] = {}
        for name, value in zip(self.mapping.metadata, row[width + 5 :], strict=True):
            if isinstance(value, dict):
                metadata.update(value)
            elif value is not None:
                metadata[name] = value
        return StoredDocument(
            key=self.key(row),
            title=title,
            content=content,
            metadata=metadata,
            version=version,
            created_at=created_at,
            updated_at=updated_at,
        )

    def key(self, row: Sequence[Any]) -> DocumentKey:
        """The key in a row of ``selected``."""
        return DocumentKey(self.mapping.table, tuple(row[: len(self.mapping.key_columns)]))

    @property
    def key_matches(self) -> sql.Composable:
        """The condition that a row is the one of a key, whose values are the parameters; and is a document."""
        parts = [
            sql.SQL("{} = %s::{}").format(sql.Identifier(name), sql.SQL(self._type(name)))
            for name in self.mapping.key_columns
        ]
        return sql.SQL(" AND ").join([*parts, self.is_document])

    @property
    def is_document(self) -> sql.Composable:
        """The row filter, as a condition without parameters."""
        parts = [sql.SQL("true"), *(self._condition(condition) for condition in self.mapping.row_filter)]
        return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))

    def text_assignment(self, column: str | None, text: str, what: str) -> list[Assignment]:
        """Write a title or a content; nothing where the table has no column for it."""
        if column is None:
            if text:
                raise InvalidRequestError(f"Table {self.mapping.table} has no column for a {what}; leave it out.")
            return []
        return [self.assignment(column, text)]

    def assignment(self, column: str, text: str) -> Assignment:
        """Write a value in its text form."""
        return Assignment(
            column=column, value=sql.SQL("%s::{}").format(sql.SQL(self._type(column))), parameters=(text,)
        )

    def metadata_assignments(self, metadata: Mapping[str, Json]) -> list[Assignment]:
        """Write the whole metadata: what is not given gets its default.

        Raises InvalidRequestError for a field that the table has no place for.
        """
        json_column = self.json_column
        own = [name for name in self.mapping.metadata if name != json_column]
        rest = {name: value for name, value in metadata.items() if name not in own}
        if rest and json_column is None:
            raise InvalidRequestError(
                f"Table {self.mapping.table} has no place for the metadata {', '.join(sorted(rest))}; "
                f"it keeps: {', '.join(own) or 'none'}."
            )
        assignments = [self._metadata_assignment(name, metadata) for name in own]
        if json_column is not None:
            value = sql.SQL("%s::{}").format(sql.SQL(self._type(json_column)))
            assignments.append(Assignment(column=json_column, value=value, parameters=(Jsonb(rest),)))
        return assignments

    def _metadata_assignment(self, name: str, metadata: Mapping[str, Json]) -> Assignment:
        if name not in metadata:
            return Assignment(column=name, value=sql.SQL("DEFAULT"))
        # PostgreSQL's own conversion from JSON to the column's type: numbers, arrays, times, enums.
        value = sql.SQL("(jsonb_populate_record(NULL::{}, %s::jsonb)).{}").format(self.name, sql.Identifier(name))
        return Assignment(column=name, value=value, parameters=(Jsonb({name: metadata[name]}),))

    def filter_assignments(self, written: Sequence[Assignment]) -> list[Assignment]:
        """What makes a new row a document: columns that the row filter compares with one value, unless written."""
        taken = {assignment.column for assignment in written}
        return [
            self.assignment(condition.field, _text(condition.value))
            for condition in self.mapping.row_filter
            if condition.operator == "eq" and not isinstance(condition.value, tuple) and condition.field not in taken
        ]

    def _condition(self, condition: Condition) -> sql.Composable:
        column, kind = sql.Identifier(condition.field), self._type(condition.field)
        if isinstance(condition.value, tuple):
            values = sql.SQL(", ").join(_literal(value) for value in condition.value)
            comparison = sql.SQL("{} = ANY(ARRAY[{}]::{}[])").format(column, values, sql.SQL(kind))
        else:
            operator = sql.SQL(_OPERATORS[condition.operator])
            comparison = sql.SQL("{} {} {}::{}").format(column, operator, _literal(condition.value), sql.SQL(kind))
        return sql.SQL("coalesce({}, false)").format(comparison)

    def _text(self, column: str | None) -> sql.Composable:
        return sql.SQL("coalesce({}::text, '')").format(sql.Identifier(column)) if column else sql.SQL("''")

    def _time(self, name: str) -> sql.Composable:
        column = self.columns.get(name)
        if column is None or column.type not in TIME_TYPES:
            return sql.SQL("NULL")
        zone = "" if column.type == "timestamp with time zone" else " AT TIME ZONE 'UTC'"
        return sql.SQL("{}" + zone).format(sql.Identifier(name))

    def _type(self, column: str) -> Any:
        # From the catalog by format_type, which quotes what needs quoting.
        return self.columns[column].type


def check_writable(mapping: TableMapping, columns: Mapping[str, Column]) -> None:
    """Raise ConfigurationError if documents cannot be written to the table."""
    table = mapping.table
    if mapping.content_columns != (mapping.content,):
        raise ConfigurationError(
            f"Table {table} cannot be writable: its content is a template over several columns.",
            fix="leave `writable` out for it, or map one column as content.",
        )
    if not mapping.key_columns:
        raise ConfigurationError(
            f"Table {table} has no primary key.", fix=f"ALTER TABLE {table} ADD PRIMARY KEY (...); or set `key`."
        )
    if missing := [name for name in mapping.columns if name not in columns]:
        raise ConfigurationError(
            f"Table {table} has no column {', '.join(missing)}.",
            fix=f"correct the names in its collection; it has {', '.join(columns)}.",
        )
    if len([name for name in mapping.metadata if columns[name].type in JSON_TYPES]) > 1:
        raise ConfigurationError(
            f"Table {table} cannot be writable: more than one of its metadata columns is JSON.",
            fix="leave `writable` out for it, or keep one JSON column in `metadata`.",
        )
    for condition in mapping.row_filter:
        if columns[condition.field].category == "A" or columns[condition.field].type in JSON_TYPES:
            raise ConfigurationError(
                f"Table {table} cannot be writable: its row filter uses the list or JSON column {condition.field}.",
                fix="leave `writable` out for it, or filter by a column with single values.",
            )


def _literal(value: Scalar) -> sql.Literal:
    return sql.Literal(_text(value).replace("%", "%%"))  # every statement has placeholders


def _text(value: Scalar | tuple[Scalar, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

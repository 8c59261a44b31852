"""From a row inside a record to a document draft, as the direct capture makes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rtrag.adapters.kafka.records import shown
from rtrag.adapters.kafka.scalars import Unfaithful, integer_text
from rtrag.adapters.kafka.values import Converter, Placeholder, converter_of_schema, guessed
from rtrag.domain.document import MISSING, DocumentDraft, DocumentKey, Json
from rtrag.domain.mapping import RowValue, TableMapping, draft_of

_PAYLOAD_LIMIT: Final = 2_000


class RowError(Exception):
    """A row that cannot become a document; the message says why."""


class ColumnGoneError(RowError):
    """A row that lacks a mapped column, as all that follow it will."""


class KeyUnreadable(Exception):  # noqa: N818 - becomes a Poison
    """Which document a record is about cannot be told; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapped table: its mapping, key columns filled in, and converters by column (``values.converter_of``)."""

    mapping: TableMapping
    converters: Mapping[str, Converter]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowImage:
    """A row as a record has it.

    Attributes:
        values: by column.
        fields: how the record itself describes its columns, empty where it does not.
        partial: the placeholder stands for values that were not sent; else it is a text like any other.
        moved: the row stood under another key before.
    """

    values: Mapping[str, Any]
    fields: Mapping[str, Mapping[str, Any]]
    partial: bool
    moved: bool = False


class RowReading:
    """Makes keys and drafts of one table's rows."""

    def __init__(self, table: Table, placeholder: Placeholder) -> None:
        self._mapping = table.mapping
        self._converters = table.converters
        self._placeholder = placeholder

    def key(self, values: Mapping[str, Any]) -> DocumentKey:
        """The key, each column as PostgreSQL prints it. Raises KeyUnreadable."""
        return DocumentKey(self._mapping.table, tuple(self._key_text(name, values) for name in self._columns_of_key))

    def draft(self, row: RowImage, key: DocumentKey) -> DocumentDraft | None:
        """The document of a row, None if the row filter excludes it. Raises RowError."""
        values: dict[str, RowValue] = {}
        unread = False
        for name in self._mapping.columns:
            converter = self._converters.get(name) or _described(row.fields.get(name))
            if name not in row.values and (converter is None or not converter.may_be_left_out):
                raise ColumnGoneError(self._complaint(name))
            value = row.values.get(name)
            if value is None:
                certain = converter is None or converter.null_is_certain or name in self._columns_of_key
                values[name] = None if certain else MISSING
                unread |= not certain
            elif row.partial and self._placeholder.stands_in(value):
                values[name] = MISSING
            else:
                try:
                    values[name] = _converted(value, name, guessed if converter is None else converter.json)
                except Unfaithful:
                    values[name] = MISSING
                    unread = True
        return self._mapped(values, key, unread=unread, moved=row.moved)

    def _mapped(
        self, values: Mapping[str, RowValue], key: DocumentKey, *, unread: bool, moved: bool
    ) -> DocumentDraft | None:
        draft = draft_of(self._mapping, values)
        if draft is None:
            return None
        # What stood under the old key is in another partition: what the index has of it may be old.
        incomplete = draft.incomplete or unread or (moved and not draft.has_all)
        if draft.key == key and draft.incomplete == incomplete:
            return draft
        return replace(draft, key=key, incomplete=incomplete)

    @property
    def _columns_of_key(self) -> tuple[str, ...]:
        return self._mapping.key_columns

    def _key_text(self, name: str, values: Mapping[str, Any]) -> str:
        value = values.get(name)
        if value is None:
            raise KeyUnreadable(f"the key column {name!r} came without a value")
        if self._placeholder.stands_in(value):
            raise KeyUnreadable(f"the value of the key column {name!r} was not sent")
        converter = self._converters.get(name)
        try:
            return _plain_text(value) if converter is None else converter.text(value)
        except ValueError as exc:
            raise KeyUnreadable(
                f"the key column {name!r} is of a type that Debezium does not write exactly; choose another key"
            ) from exc

    def _complaint(self, name: str) -> str:
        return (
            f"table {self._mapping.table} no longer has the column {name!r} that the configuration maps, or the "
            "connector leaves it out. Correct the mapping, the table or the connector's column list, then replay"
        )


def payload_of(values: Mapping[str, Any]) -> Mapping[str, str | None]:
    """The row for people to look at, cut."""
    return {name: None if value is None else shown(value, _PAYLOAD_LIMIT) for name, value in values.items()}


def fields_of(schema: Mapping[str, Any] | None, member: str) -> Mapping[str, Mapping[str, Any]]:
    """The description of a member's columns, by name; empty where the record does not describe itself."""
    for part in _fields(schema):
        if part.get("field") == member:
            return {field["field"]: field for field in _fields(part) if isinstance(field.get("field"), str)}
    return {}


def _fields(schema: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    found = None if schema is None else schema.get("fields")
    return [field for field in found if isinstance(field, dict)] if isinstance(found, list) else []


def _described(field: Mapping[str, Any] | None) -> Converter | None:
    return None if field is None else converter_of_schema(field)


def _converted(value: Any, name: str, convert: Callable[[Any], Json]) -> Json:
    try:
        return convert(value)
    except Unfaithful:
        raise
    except (ValueError, ArithmeticError) as exc:
        raise RowError(f"column {name!r} holds a value that cannot be read: {exc}") from exc


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    return value if isinstance(value, str) else integer_text(value)

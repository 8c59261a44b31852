"""From the columns of a row as they came (stream, copy or read alike) to a document draft."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rtrag.adapters.postgres.replication_messages import UNCHANGED, ColumnValue, TooLarge
from rtrag.adapters.postgres.types import Converter
from rtrag.domain.document import MISSING, DocumentDraft, DocumentKey
from rtrag.domain.mapping import RowValue, TableMapping, draft_of

_PAYLOAD_LIMIT: Final = 2_000


class RowError(Exception):
    """A row that cannot become a document; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the mapped columns of a table are found in its rows.

    Attributes:
        columns: names of all columns, as the rows have them.
        wanted: place, name and converter of each mapped column.
        keys: places of the key columns, in key order.
        missing: mapped columns that the rows lack.
        stand_in: places of the columns that identify the row when a key column is missing.
    """

    mapping: TableMapping
    columns: tuple[str, ...]
    wanted: tuple[tuple[int, str, Converter], ...]
    keys: tuple[int, ...]
    missing: tuple[str, ...]
    stand_in: tuple[int, ...] = ()

    def key(self, row: Sequence[ColumnValue]) -> DocumentKey:
        """The row's key, each column as PostgreSQL prints it. Raises RowError."""
        if len(self.keys) < len(self.mapping.key_columns):
            raise RowError(f"key columns are missing: {', '.join(self.missing)}")
        return DocumentKey(self.mapping.table, tuple(_key_text(row[place], self.columns[place]) for place in self.keys))

    def any_key(self, row: Sequence[ColumnValue]) -> DocumentKey:
        """A key for a dead letter: the right one if at all possible, whatever bytes it holds."""
        places = self.keys if len(self.keys) == len(self.mapping.key_columns) else self.stand_in
        return DocumentKey(self.mapping.table, tuple(_escaped(row[place]) for place in places) or ("",))

    def draft(self, row: Sequence[ColumnValue]) -> DocumentDraft | None:
        """The document of a row, None if the row filter excludes it. Raises RowError."""
        if self.missing:
            raise RowError(self.complaint)
        values: dict[str, RowValue] = {}
        for place, name, convert in self.wanted:
            value = row[place]
            if value is None:
                values[name] = None
            elif value is UNCHANGED:
                values[name] = MISSING
            elif isinstance(value, TooLarge):
                raise RowError(
                    f"column {name!r} has {value.size} bytes, more than a document may have; shorten it, or raise "
                    "RTRAG_INDEXING__MAX_DOCUMENT_BYTES, restart, and replay its dead letter"
                )
            else:
                values[name] = _converted(value, name, convert)
        draft = draft_of(self.mapping, values)
        if draft is None:
            return None
        key = self.key(row)
        return draft if draft.key == key else replace(draft, key=key)

    @property
    def complaint(self) -> str:
        """What is wrong with the table's columns, in words."""
        names = ", ".join(repr(name) for name in self.missing)
        return (
            f"table {self.mapping.table} no longer has the column {names} that the configuration maps; it was dropped "
            "or renamed. Correct the mapping or the table, then start again"
        )

    def payload(self, row: Sequence[ColumnValue]) -> Mapping[str, str | None]:
        """The row for people to look at: cut, and printable whatever it holds."""
        return {name: _printable(value, _PAYLOAD_LIMIT) for name, value in zip(self.columns, row, strict=False)}


def layout_of(
    mapping: TableMapping,
    columns: Sequence[tuple[str, int]],
    converters: Mapping[int, Converter],
    identity: Sequence[str] = (),
) -> Layout:
    """Find the mapped columns by name among ``columns`` (name and type OID)."""
    places = {name: place for place, (name, _) in enumerate(columns)}
    present = [name for name in mapping.columns if name in places]
    return Layout(
        mapping=mapping,
        columns=tuple(name for name, _ in columns),
        wanted=tuple((places[name], name, converters[columns[places[name]][1]]) for name in present),
        keys=tuple(places[name] for name in mapping.key_columns if name in places),
        missing=tuple(name for name in mapping.columns if name not in places),
        stand_in=tuple(places[name] for name in identity if name in places),
    )


def _converted(value: bytes, name: str, convert: Converter) -> RowValue:
    try:
        return convert(value.decode())
    except UnicodeDecodeError as exc:
        raise RowError(
            f"column {name!r} holds bytes that are not UTF-8 text (byte {exc.start}: 0x{value[exc.start]:02x})"
        ) from exc
    except (ValueError, ArithmeticError) as exc:
        raise RowError(f"column {name!r} holds a value that cannot be read: {exc}") from exc


def _key_text(value: ColumnValue, name: str) -> str:
    if not isinstance(value, bytes):
        raise RowError(f"key column {name!r} came without a value")
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise RowError(f"key column {name!r} holds bytes that are not UTF-8 text") from exc


def _escaped(value: ColumnValue) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""


def _printable(value: ColumnValue, limit: int | None = None) -> str | None:
    if value is None:
        return None
    if value is UNCHANGED:
        return "(unchanged, not sent)"
    if isinstance(value, TooLarge):
        return f"{value.beginning[:limit].decode('utf-8', 'backslashreplace')}… ({value.size} bytes)"
    shown = value if limit is None or len(value) <= limit else value[:limit]
    text = shown.decode("utf-8", "backslashreplace")
    return text if shown is value else f"{text}… ({len(value)} bytes)"

"""How the values of a column are read from Debezium's records, by the column's type in PostgreSQL.

What the records say exactly is converted. Where they do not (times with a zone of their own, money, bit strings,
geometry, arrays of more than one dimension, infinite dates, nulls that stand for a value which Debezium failed to
convert), Unfaithful is raised: the row is read from the table, and the document comes out as in the direct capture.
One thing cannot be told apart: in snapshots Debezium writes a date before our era as one of our era.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import md5
from typing import Any, Final
from uuid import UUID

from rtrag.adapters.kafka import scalars
from rtrag.adapters.kafka.scalars import Unfaithful
from rtrag.domain.document import Json

PLACEHOLDER: Final = "__debezium_unavailable_value"
_MODIFIER: Final = re.compile(r"\([^)]*\)")
_SCHEMA: Final = re.compile(r'^(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\.(?=hstore|citext|ltree)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """How values become JSON and, for keys, the text that PostgreSQL prints.

    Both raise Unfaithful where the row has to be read; ``json`` raises ValueError for what no index could store.
    ``null_is_certain`` is false for types that Debezium writes null for when it fails to convert a value;
    ``may_be_left_out`` is true for those of which its records may lack the column altogether.
    """

    json: Callable[[Any], Json]
    text: Callable[[Any], str]
    null_is_certain: bool = True
    may_be_left_out: bool = False


def converter_of(type_name: str) -> Converter:
    """The converter for a type as ``format_type`` names it: ``numeric(12,2)``, ``text[]``, ``enum`` for any enum.

    Domains go by the name of their base type. Of a type that is not known here every row is read.
    """
    return _converter_of(_SCHEMA.sub("", _MODIFIER.sub("", type_name).strip()))


def converter_of_schema(field: Mapping[str, Any]) -> Converter | None:
    """The converter for a field that describes itself, None where the description is not enough."""
    semantic, kind = field.get("name"), field.get("type")
    if isinstance(semantic, str):
        return _converter_of(_SEMANTIC.get(semantic, semantic))
    return _converter_of(_SEMANTIC[kind]) if isinstance(kind, str) and kind in _SEMANTIC else None


def guessed(value: Any) -> Json:
    """A value of an unknown type: plain ones as they are."""
    return (
        value
        if isinstance(value, str | bool)
        else scalars.double(value)
        if isinstance(value, float)
        else scalars.integer(value)
    )


class Placeholder:
    """Recognizes what Debezium writes for an unchanged value that was not sent, in all its forms."""

    def __init__(self, word: str = PLACEHOLDER) -> None:
        raw = word.encode()
        identifier = UUID(bytes=md5(raw, usedforsecurity=False).digest(), version=3)
        self._word = word
        self._lists = ([word], list(raw), [str(identifier)], [raw.hex()])
        self._map = {word: word}

    def stands_in(self, value: Any) -> bool:
        """Whether the value is the placeholder itself; a text that merely contains it is not."""
        if isinstance(value, str):
            return value == self._word
        if isinstance(value, list):
            return value in self._lists
        return isinstance(value, dict) and value == self._map


def _unread(_: Any) -> Any:
    raise Unfaithful


def _array_of(element: Callable[[Any], Json]) -> Callable[[Any], Json]:
    """Of one dimension, without nulls: Debezium writes inner lists as null, or as Java's name of the object."""

    def convert(value: Any) -> Json:
        if not isinstance(value, list):
            raise Unfaithful
        if any(item is None or (isinstance(item, str) and item.startswith("[L")) for item in value):
            raise Unfaithful
        return [element(item) for item in value]

    return convert


_TEXTS: Final = (
    "text", "character varying", "character", '"char"', "name", "citext", "enum", "uuid", "xml", "inet", "cidr",
    "macaddr", "macaddr8", "int4range", "int8range", "numrange", "tsrange", "daterange", "ltree", "tsvector",
)  # fmt: skip
_TEXT: Final = Converter(json=scalars.text, text=scalars.text)
_UNREAD: Final = Converter(json=_unread, text=_unread, null_is_certain=False, may_be_left_out=True)
_INTEGER: Final = Converter(json=scalars.integer, text=scalars.integer_text)
_SCALARS: Final[Mapping[str, Converter]] = {
    **dict.fromkeys(_TEXTS, _TEXT),
    **dict.fromkeys(("smallint", "integer", "bigint", "oid"), _INTEGER),
    "boolean": Converter(json=scalars.boolean, text=scalars.boolean_text),
    "real": Converter(json=scalars.real, text=_unread),
    "double precision": Converter(json=scalars.double, text=_unread),
    "numeric": Converter(json=scalars.numeric, text=scalars.numeric_text),
    **dict.fromkeys(("json", "jsonb"), Converter(json=scalars.json_document, text=scalars.text)),
    "timestamp without time zone": Converter(json=scalars.timestamp, text=scalars.timestamp_text),
    "timestamp with time zone": Converter(json=scalars.zoned_timestamp, text=scalars.zoned_timestamp_text),
    "date": Converter(json=scalars.day, text=scalars.day),
    "time without time zone": Converter(json=scalars.time_of_day, text=scalars.time_of_day),
    "interval": Converter(json=scalars.interval, text=scalars.interval),
    "bytea": Converter(json=scalars.binary, text=scalars.binary),
    "hstore": Converter(json=scalars.hstore, text=_unread),
}
# The first have placeholders of their own; of the others an unchanged large value comes as null.
_CERTAIN_ARRAYS: Final = ("text", "character varying", "character", "json", "jsonb", "integer", "bigint", "uuid")
_ARRAYS: Final = (*_CERTAIN_ARRAYS, "smallint", "boolean", "real", "double precision", "numeric", "enum")
_KINDS: Final[Mapping[str, Converter]] = {
    **_SCALARS,
    **{
        f"{name}[]": Converter(
            json=_array_of(_SCALARS[name].json), text=_unread, null_is_certain=name in _CERTAIN_ARRAYS
        )
        for name in _ARRAYS
    },
}
_SEMANTIC: Final[Mapping[str, str]] = {
    "io.debezium.time.MicroTimestamp": "timestamp without time zone",
    "io.debezium.time.ZonedTimestamp": "timestamp with time zone",
    "io.debezium.time.Date": "date",
    "io.debezium.time.MicroTime": "time without time zone",
    "io.debezium.time.Interval": "interval",
    "io.debezium.data.Json": "jsonb",
    "io.debezium.data.Uuid": "uuid",
    "io.debezium.data.Enum": "enum",
    "io.debezium.data.geometry.Point": "point",
    "io.debezium.time.ZonedTime": "time with time zone",
    "io.debezium.data.Bits": "bit",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "real",
    "double": "double precision",
    "boolean": "boolean",
}


@cache
def _converter_of(name: str) -> Converter:
    return _KINDS.get(name, _UNREAD)

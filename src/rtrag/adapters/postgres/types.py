"""Text values of PostgreSQL as JSON, by type.

The text is what a type's output function prints under the session settings of ``connection.SESSION``; the stream and
every query give the same text, so copy, stream and reads map alike. What comes out:

- boolean -> bool; smallint, integer, bigint, oid -> int; real, double -> float, but NaN and Infinity as text;
- numeric without fractional digits and within 64 bits -> int; with them -> float where the float has exactly this
  value, else the exact text, as are NaN and Infinity;
- json, jsonb -> what they hold; arrays -> lists, nested as they are, elements converted by their type;
- timestamp -> ISO 8601, with time zone always as +00:00; infinity and years BC stay text;
- everything else (uuid, date, bytea as hexadecimal, enums, ranges, unknown types) -> text.
"""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from typing import Final, TypeAlias

from rtrag.domain.document import Json

Converter: TypeAlias = Callable[[str], Json]

_INT64: Final = range(-(2**63), 2**63)
_EXTREME_NUMBER: Final = re.compile(r"\d{19}|\d[eE]")
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_TIMESTAMP: Final = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:([+-]\d\d)(:\d\d)?(?::\d\d)?)?")
_ARRAY_BOUNDS: Final = re.compile(r"(?:\[-?\d+:-?\d+\])+=")
MAX_ARRAY_DEPTH: Final = 16


def text(value: str) -> Json:
    """The text itself."""
    return value


def boolean(value: str) -> Json:
    return value == "t"


def integer(value: str) -> Json:
    return int(value)


def floating(value: str) -> Json:
    number = float(value)
    return number if isfinite(number) else value


def numeric(value: str) -> Json:
    if value.lstrip("-").isdigit():
        whole = int(value) if len(value) <= 20 else None
        return whole if whole is not None and whole in _INT64 else value
    exact = Decimal(value)
    if not exact.is_finite():
        return value
    number = float(value)
    return number if isfinite(number) and Decimal(repr(number)) == exact else value


def timestamp(value: str) -> Json:
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        return value
    day, time, hours, minutes = match.groups()
    zone = f"{hours}{minutes or ':00'}" if hours else ""
    return f"{day}T{time}{zone}"


def document(value: str) -> Json:
    """A json or jsonb value. Raises ValueError when it holds what no index could store."""
    extreme = _EXTREME_NUMBER.search(value)
    try:
        parsed: Json = json.loads(value, parse_int=_bounded, parse_float=_bounded) if extreme else json.loads(value)
    except RecursionError:
        raise ValueError("the JSON value is nested too deeply") from None
    if _SURROGATE_ESCAPE.search(value):
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("the JSON value holds half of a surrogate pair, which is not text") from None
    return parsed


def array_of(element: Converter, delimiter: str = ",") -> Converter:
    """Converter of an array whose elements convert by ``element``."""

    def convert(value: str) -> Json:
        return _ArrayParser(value, element, delimiter).parse()

    return convert


def _bounded(digits: str) -> Json:
    """A JSON number within 64 bits; beyond them the nearest float, beyond that the text."""
    if len(digits) <= 20 and digits.lstrip("-").isdigit() and int(digits) in _INT64:
        return int(digits)
    number = float(digits)
    return number if isfinite(number) else digits


class _ArrayParser:
    r"""Reads an array literal, ``{1,NULL,"a \"quoted\" one",{…}}``, with or without bounds before it."""

    def __init__(self, source: str, element: Converter, delimiter: str) -> None:
        bounds = _ARRAY_BOUNDS.match(source)
        self._source = source
        self._at = bounds.end() if bounds else 0
        self._element = element
        self._bare = re.compile(rf"[^{{}}\"{re.escape(delimiter)}]+")
        self._delimiter = delimiter

    def parse(self) -> list[Json]:
        result = self._list(0)
        if self._at != len(self._source):
            raise ValueError("not an array literal: text follows its end")
        return result

    def _list(self, depth: int) -> list[Json]:
        if depth > MAX_ARRAY_DEPTH or self._peek() != "{":
            raise ValueError("not an array literal: '{' expected")
        self._at += 1
        items: list[Json] = []
        if self._peek() == "}":
            self._at += 1
            return items
        while True:
            items.append(self._item(depth))
            separator = self._peek()
            self._at += 1
            if separator == "}":
                return items
            if separator != self._delimiter:
                raise ValueError("not an array literal: delimiter expected")

    def _item(self, depth: int) -> Json:
        first = self._peek()
        if first == "{":
            return self._list(depth + 1)
        if first == '"':
            return self._element(self._quoted())
        match = self._bare.match(self._source, self._at)
        if match is None:
            raise ValueError("not an array literal: element expected")
        self._at = match.end()
        bare = match.group()
        return None if bare == "NULL" else self._element(_unescape(bare))

    def _quoted(self) -> str:
        match = _QUOTED.match(self._source, self._at)
        if match is None:
            raise ValueError("not an array literal: a quoted element does not end")
        self._at = match.end()
        return _unescape(match.group(1))

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]


_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def _unescape(value: str) -> str:
    return _ESCAPED.sub(r"\1", value) if "\\" in value else value


_SCALARS: Mapping[int, Converter] = {
    16: boolean,
    20: integer,
    21: integer,
    23: integer,
    26: integer,
    700: floating,
    701: floating,
    1700: numeric,
    114: document,
    3802: document,
    1114: timestamp,
    1184: timestamp,
}
_TEXTS: Final = (17, 18, 19, 25, 1042, 1043, 1082, 1083, 1186, 1266, 2950)
_ARRAYS: Mapping[int, int] = {
    1000: 16,
    1016: 20,
    1005: 21,
    1007: 23,
    1028: 26,
    1021: 700,
    1022: 701,
    1231: 1700,
    199: 114,
    3807: 3802,
    1115: 1114,
    1185: 1184,
    1001: 17,
    1009: 25,
    1014: 1042,
    1015: 1043,
    1182: 1082,
    2951: 2950,
}
BUILT_IN: Mapping[int, Converter] = {
    **_SCALARS,
    **dict.fromkeys(_TEXTS, text),
    **{array: array_of(_SCALARS.get(element, text)) for array, element in _ARRAYS.items()},
}

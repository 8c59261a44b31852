"""Values as Debezium writes them, as the text that PostgreSQL prints for them, and as JSON.

Both are what the direct capture gives for the same value (``adapters/postgres/types``). ``Unfaithful`` is raised where
Debezium's form does not say what the value was: the row has to be read then.
"""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from struct import pack
from typing import Any, Final

from rtrag.domain.document import Json

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY: Final = 86_400_000_000
_INT64: Final = range(-(2**63), 2**63)
_NOT_A_NUMBER: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_DECIMAL_NAMES: Final = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}
_ZONED: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z")
_INTERVAL: Final = re.compile(r"P(-?\d+)Y(-?\d+)M(-?\d+)DT(-?\d+)H(-?\d+)M(-?)(\d+)(\.\d+)?S")
_EXTREME_NUMBER: Final = re.compile(r"\d{19}|\d[eE]")
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class Unfaithful(ValueError):  # noqa: N818 - not an error: the row is read instead
    """Debezium's form does not say what the value was."""


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfaithful
    return value


def integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in _INT64:
        raise Unfaithful
    return value


def integer_text(value: Any) -> str:
    return str(integer(value))


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfaithful
    return value


def boolean_text(value: Any) -> str:
    return "t" if boolean(value) else "f"


def double(value: Any) -> Json:
    """A float; NaN and the infinities as text."""
    if isinstance(value, str) and value in _NOT_A_NUMBER:
        return value
    if not isinstance(value, float) or not isfinite(value):
        return float(integer(value))
    return value


def real(value: Any) -> Json:
    """As ``double``, with the fewest digits that name the same 32 bits: Java may write more."""
    number = double(value)
    if isinstance(number, float):
        try:
            bits = pack("f", number)
        except OverflowError:
            raise Unfaithful from None
        for digits in range(6, 10):
            shorter = float(f"{number:.{digits}g}")
            if abs(shorter) <= 3.4028235e38 and pack("f", shorter) == bits:
                return shorter
    return number


def numeric_text(value: Any) -> str:
    shown = text(value)
    return _DECIMAL_NAMES.get(shown, shown)


def numeric(value: Any) -> Json:
    """Exact: a whole number within 64 bits, a float where it has exactly this value, else the text."""
    shown = numeric_text(value)
    if shown in _NOT_A_NUMBER:
        return shown
    if shown.lstrip("-").isdigit():
        whole = int(shown) if len(shown) <= 20 else None
        return whole if whole is not None and whole in _INT64 else shown
    try:
        exact, number = Decimal(shown), float(shown)
    except (ValueError, ArithmeticError):
        raise Unfaithful from None
    return number if isfinite(number) and Decimal(repr(number)) == exact else shown


def json_document(value: Any) -> Json:
    """What a json or jsonb value holds. Raises ValueError when that is nothing an index could store."""
    source = text(value)
    extreme = _EXTREME_NUMBER.search(source)
    try:
        parsed: Json = json.loads(source, parse_int=_bounded, parse_float=_bounded) if extreme else json.loads(source)
    except RecursionError:
        raise ValueError("the JSON value is nested too deeply") from None
    if _SURROGATE_ESCAPE.search(source):
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("the JSON value holds half of a surrogate pair, which is not text") from None
    return parsed


def timestamp_text(value: Any) -> str:
    """From microseconds. Debezium's infinities and its years outside of 1 to 9999 are not to be trusted."""
    try:
        moment = _EPOCH + timedelta(microseconds=integer(value))
    except OverflowError:
        raise Unfaithful from None
    shown = moment.replace(tzinfo=None).isoformat(" ")
    return shown.rstrip("0") if moment.microsecond else shown


def timestamp(value: Any) -> str:
    return timestamp_text(value).replace(" ", "T")


def zoned_timestamp_text(value: Any) -> str:
    day, time = _zoned(value)
    return f"{day} {time}+00" if time else day


def zoned_timestamp(value: Any) -> str:
    day, time = _zoned(value)
    return f"{day}T{time}+00:00" if time else day


def day(value: Any) -> str:
    """From days since 1970."""
    try:
        return date.fromordinal(_EPOCH_DAY + integer(value)).isoformat()
    except (ValueError, OverflowError):
        raise Unfaithful from None


def time_of_day(value: Any) -> str:
    """From microseconds since midnight; the end of the day is 24:00:00."""
    micros = integer(value)
    if not 0 <= micros <= _DAY:
        raise Unfaithful
    seconds, fraction = divmod(micros, 1_000_000)
    shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{shown}.{fraction:06}".rstrip("0") if fraction else shown


def interval(value: Any) -> str:
    """From ISO 8601 to PostgreSQL's own style: ``1 year 2 mons -3 days +04:05:06.789``."""
    match = _INTERVAL.fullmatch(text(value))
    if match is None:
        raise Unfaithful
    hours, minutes, seconds = int(match[4]), int(match[5]), int(match[7])
    fraction = (match[8] or "").rstrip("0").rstrip(".")
    parts: list[str] = []
    before = False
    for amount, unit in ((int(match[1]), "year"), (int(match[2]), "mon"), (int(match[3]), "day")):
        if amount:
            sign = "+" if before and amount > 0 else ""
            parts.append(f"{sign}{amount} {unit}{'' if amount == 1 else 's'}")
            before = amount < 0
    if not parts or hours or minutes or seconds or fraction:
        minus = hours < 0 or minutes < 0 or (match[6] == "-" and (seconds or fraction))
        sign = "-" if minus else "+" if before else ""
        parts.append(f"{sign}{abs(hours):02}:{abs(minutes):02}:{seconds:02}{fraction}")
    return " ".join(parts)


def binary(value: Any) -> str:
    """From hexadecimal digits (``binary.handling.mode=hex``)."""
    digits = text(value)
    try:
        bytes.fromhex(digits)
    except ValueError:
        raise Unfaithful from None
    return f"\\x{digits.lower()}"


def hstore(value: Any) -> str:
    """From an object (``hstore.handling.mode=map``), in the order that PostgreSQL keeps: short keys first."""
    if not isinstance(value, dict):
        raise Unfaithful
    pairs = sorted(((key.encode(), key, item) for key, item in value.items()), key=lambda pair: (len(pair[0]), pair[0]))
    return ", ".join(f"{_quoted(key)}=>{'NULL' if item is None else _quoted(text(item))}" for _, key, item in pairs)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _zoned(value: Any) -> tuple[str, str]:
    """Day and time of a moment in UTC; for an infinity the word and nothing."""
    shown = text(value)
    if shown in {"infinity", "-infinity"}:
        return shown, ""
    match = _ZONED.fullmatch(shown)
    if match is None:
        raise Unfaithful
    return match[1], match[2] + (match[3] or "").rstrip("0").rstrip(".")


def _bounded(digits: str) -> Json:
    """A JSON number within 64 bits; beyond them the nearest float, beyond that the text."""
    if len(digits) <= 20 and digits.lstrip("-").isdigit() and int(digits) in _INT64:
        return int(digits)
    number = float(digits)
    return number if isfinite(number) else digits

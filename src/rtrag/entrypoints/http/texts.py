"""Text and JSON that every part behind the services can hold: PostgreSQL, UTF-8, strict JSON."""

import math
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, JsonValue

MAX_DEPTH = 32


def _check(value: JsonValue, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels; flatten it")
    match value:
        case str():
            _check_text(value)
        case float() if not math.isfinite(value):
            raise ValueError("NaN and infinity are not JSON numbers; send null or text instead")
        case list():
            for element in value:
                _check(element, depth + 1)
        case dict():
            _check([*value, *value.values()], depth)


def _check_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("PostgreSQL cannot store the character U+0000; remove it")
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise ValueError("half of a surrogate pair is not a character; remove it or send both halves") from exc
    return value


def _check_object(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _check(value)
    return value


STORABLE = AfterValidator(_check_text)
Text: TypeAlias = Annotated[str, STORABLE]
Metadata: TypeAlias = Annotated[dict[str, JsonValue], AfterValidator(_check_object)]

"""Search filters for Edge.

Edge cannot compare texts by order and holds numbers as 64-bit floats, so a filter may let through more than the
conditions allow, never less; the search checks each hit by ``rtrag.domain.conditions`` as well.
"""

from collections.abc import Collection, Sequence
from typing import Any

from qdrant_edge import FieldCondition, Filter, HasIdCondition, IsEmptyCondition, RangeFloat

from rtrag.adapters.qdrant.edge_shards import keyword, path
from rtrag.adapters.qdrant.points import (
    PLACE,
    TABLE,
    ValueType,
    comparable,
    filter_field,
    place,
    stored_value,
    value_type,
)
from rtrag.domain.conditions import Condition
from rtrag.domain.position import Position
from rtrag.domain.retrieval import SearchRequest

_EXACT_FLOAT = 2**53


def search_filter(request: SearchRequest, indexed: Collection[str]) -> Filter | None:
    """The filter of a request, None when everything is a candidate.

    ``indexed`` holds the fields of filterable metadata that have an index; the others hold no values at all.
    """
    must: list[Any] = []
    if request.tables:
        must.append(keyword(TABLE, request.tables))
    for table, floor in request.hidden_below:
        if not request.tables or table in request.tables:
            must.append(_above_floor(table, floor))
    for condition in request.conditions:
        clause = _clause(condition, indexed)
        if clause is not None:
            must.append(clause)
    return Filter(must=must) if must else None


def _clause(condition: Condition, indexed: Collection[str]) -> Any | None:
    """What must hold in the engine for a condition; None where it cannot narrow anything."""
    value = condition.value
    match condition.operator:
        case "ne":
            equal = _equal(condition.field, value, indexed)
            return None if equal is None or _inexact(value) else Filter(must_not=[equal])
        case "eq":
            return _any_of([_equal(condition.field, value, indexed)])
        case "in":
            values = value if isinstance(value, tuple) else (value,)
            texts = [each for each in values if isinstance(each, str)]
            others = [_equal(condition.field, each, indexed) for each in values if not isinstance(each, str)]
            return _any_of([_texts(condition.field, texts, indexed), *others])
        case _ if isinstance(value, str):
            return _any_of([_any_text(condition.field, indexed)])
        case _:
            return _any_of([_numbers(condition, indexed), _flags(condition, indexed)])


def _equal(field: str, value: object, indexed: Collection[str]) -> Any | None:
    """A condition that holds at least where the field equals the value; None where nothing can."""
    kind = value_type(value)
    if kind is None or not _has(field, kind, indexed):
        return None
    if kind == "number" and isinstance(value, (int, float)):
        number = float(comparable(value))
        return FieldCondition(key=path(filter_field(field, kind)), range=RangeFloat(gte=number, lte=number))
    return keyword(filter_field(field, kind), [str(stored_value(value))])


def _texts(field: str, texts: Sequence[str], indexed: Collection[str]) -> Any | None:
    return keyword(filter_field(field, "text"), texts) if texts and _has(field, "text", indexed) else None


def _any_text(field: str, indexed: Collection[str]) -> Any | None:
    """The field holds a text: as near as Edge comes to comparing texts."""
    if not _has(field, "text", indexed):
        return None
    return Filter(must_not=[IsEmptyCondition(key=path(filter_field(field, "text")))])


def _numbers(condition: Condition, indexed: Collection[str]) -> Any | None:
    """The field holds a number that meets the comparison."""
    value = condition.value
    if isinstance(value, (str, tuple)) or value_type(value) is None or not _has(condition.field, "number", indexed):
        return None
    return FieldCondition(key=path(filter_field(condition.field, "number")), range=_range(condition.operator, value))


def _flags(condition: Condition, indexed: Collection[str]) -> Any | None:
    """The field holds a flag that meets the comparison: false and true compare like 0 and 1."""
    flags = [str(stored_value(flag)) for flag in (False, True) if condition.matches({condition.field: flag})]
    return (
        keyword(filter_field(condition.field, "flag"), flags)
        if flags and _has(condition.field, "flag", indexed)
        else None
    )


def _range(operator: str, value: float) -> RangeFloat:
    """The range, its end included where neighbouring integers fall on one float."""
    number = float(comparable(value))
    if _inexact(value) and operator in ("lt", "gt"):
        operator += "e"
    match operator:
        case "lt":
            return RangeFloat(lt=number)
        case "lte":
            return RangeFloat(lte=number)
        case "gt":
            return RangeFloat(gt=number)
        case _:
            return RangeFloat(gte=number)


def _above_floor(table: str, floor: Position) -> Filter:
    """The chunk is of another table, or was written at about the floor or above it."""
    above = FieldCondition(key=PLACE, range=RangeFloat(gte=place(floor)))
    return Filter(should=[Filter(must_not=[keyword(TABLE, [table])]), above])


def _any_of(clauses: Sequence[Any | None]) -> Any:
    possible = [clause for clause in clauses if clause is not None]
    if not possible:
        return _nothing()
    return possible[0] if len(possible) == 1 else Filter(should=possible)


def _nothing() -> HasIdCondition:
    """No point has an id of an empty set."""
    return HasIdCondition(set())


def _has(field: str, kind: ValueType, indexed: Collection[str]) -> bool:
    return filter_field(field, kind) in indexed


def _inexact(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= _EXACT_FLOAT

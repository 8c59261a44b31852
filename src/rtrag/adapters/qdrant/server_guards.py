"""Conditions that guard writes: filters over the position fields of the points that stand.

Positions compare by epoch, then LSN, then ordinal. Equality is asked of integers, order of 64-bit floats, which are
exact up to ``MAX_LSN``. A point that lacks the fields meets none of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from qdrant_client.models import (
    FieldCondition,
    Filter,
    HasIdCondition,
    IsEmptyCondition,
    MatchAny,
    MatchValue,
    PayloadField,
    Range,
)

from rtrag.adapters.qdrant.points import POSITION_FIELDS, path
from rtrag.domain.position import Position

_EPOCH, _LSN, _ORDINAL = POSITION_FIELDS
NOTHING: Final = HasIdCondition(has_id=[])
NOTHING_STANDS: Final = Filter(must=[NOTHING])


def at(position: Position) -> Filter:
    """The point stands at this position."""
    return Filter(must=[_is(name, getattr(position, name)) for name in POSITION_FIELDS])


def below(position: Position) -> Filter:
    """The point stands at a smaller position."""
    return _beyond(position, lambda name, value: number(name, lt=value))


def above(position: Position | None) -> Filter:
    """The point stands at a larger position; above None, it has one."""
    if position is None:
        return Filter(must_not=[empty(_LSN)])
    return _beyond(position, lambda name, value: number(name, gt=value))


def guarded(ids: Mapping[Position, Sequence[str]], condition: Callable[[Position], Filter]) -> Filter:
    """Each of these points meets the condition for its own position; other points are not let through."""
    return any_of([only(group, condition(position)) for position, group in ids.items()])


def only(ids: Iterable[str], condition: Filter) -> Filter:
    """The point is one of these and meets the condition."""
    return Filter(must=[HasIdCondition(has_id=list(ids)), condition])


def any_of(filters: Sequence[Filter]) -> Filter:
    """At least one of these filters, of which there is at least one."""
    return filters[0] if len(filters) == 1 else Filter(should=list(filters))


def one_of(field: str, values: Sequence[str]) -> FieldCondition:
    """The field holds one of these texts."""
    if len(values) == 1:
        return FieldCondition(key=path(field), match=MatchValue(value=values[0]))
    return FieldCondition(key=path(field), match=MatchAny(any=list(values)))


def number(field: str, **bounds: float) -> FieldCondition:
    """The field holds a number within these bounds: ``lt``, ``lte``, ``gt``, ``gte``."""
    return FieldCondition(key=path(field), range=Range(**bounds))


def empty(field: str) -> IsEmptyCondition:
    """The field holds nothing."""
    return IsEmptyCondition(is_empty=PayloadField(key=path(field)))


def _is(name: str, value: int) -> FieldCondition:
    return FieldCondition(key=path(name), match=MatchValue(value=value))


def _beyond(position: Position, differs: Callable[[str, int], FieldCondition]) -> Filter:
    epoch, lsn = _is(_EPOCH, position.epoch), _is(_LSN, position.lsn)
    return Filter(
        should=[
            differs(_EPOCH, position.epoch),
            Filter(must=[epoch, differs(_LSN, position.lsn)]),
            Filter(must=[epoch, lsn, differs(_ORDINAL, position.ordinal)]),
        ]
    )

"""How a search request becomes a filter: the same rules for Qdrant Edge and a Qdrant server.

Neither compares texts by order, and both hold numbers as 64-bit floats, so a filter may let through more than the
conditions allow, never less; the search checks each hit by ``rtrag.domain.conditions`` as well, in ``matches``.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, Protocol

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
from rtrag.domain.conditions import Condition, all_match
from rtrag.domain.manifest import ChunkPoint
from rtrag.domain.position import Position
from rtrag.domain.retrieval import SearchRequest

OVERSAMPLING: Final = 2.0
MOST_CANDIDATES: Final = 4_000  # looked through for a filter that the engine cannot decide
EXACT_FLOAT: Final = 2**53


class Dialect(Protocol):
    """How an engine's client writes the clauses of a filter; payload fields are given by their plain names."""

    def one_of(self, field: str, values: Sequence[str]) -> Any:
        """The field holds one of these texts."""
        ...

    def number(self, field: str, **bounds: float) -> Any:
        """The field holds a number within these bounds: ``lt``, ``lte``, ``gt``, ``gte``."""
        ...

    def empty(self, field: str) -> Any:
        """The field holds nothing."""
        ...

    def nothing(self) -> Any:
        """No point."""
        ...

    def all_of(self, clauses: list[Any]) -> Any:
        """Every clause holds."""
        ...

    def any_of(self, clauses: list[Any]) -> Any:
        """At least one clause holds."""
        ...

    def none_of(self, clauses: list[Any]) -> Any:
        """No clause holds."""
        ...


class SearchRules:
    """Writes filters in a dialect.

    ``indexed`` holds the fields of filterable metadata that have an index; the others hold no values at all.
    """

    def __init__(self, dialect: Dialect, indexed: Container[str]) -> None:
        self._dialect = dialect
        self._indexed = indexed

    def filter(self, request: SearchRequest) -> Any | None:
        """The filter of a request, None when everything is a candidate."""
        must: list[Any] = []
        if request.tables:
            must.append(self._dialect.one_of(TABLE, request.tables))
        for table, floor in request.hidden_below:
            if not request.tables or table in request.tables:
                must.append(self._above_floor(table, floor))
        for condition in request.conditions:
            clause = self._clause(condition)
            if clause is not None:
                must.append(clause)
        return self._dialect.all_of(must) if must else None

    def _clause(self, condition: Condition) -> Any | None:
        """What must hold in the engine for a condition; None where it cannot narrow anything."""
        value = condition.value
        match condition.operator:
            case "ne":
                equal = self._equal(condition.field, value)
                return None if equal is None or _inexact(value) else self._dialect.none_of([equal])
            case "eq":
                return self._any_of([self._equal(condition.field, value)])
            case "in":
                values = value if isinstance(value, tuple) else (value,)
                texts = [each for each in values if isinstance(each, str)]
                others = [self._equal(condition.field, each) for each in values if not isinstance(each, str)]
                return self._any_of([self._texts(condition.field, texts), *others])
            case _ if isinstance(value, str):
                return self._any_of([self._any_text(condition.field)])
            case _:
                return self._any_of([self._numbers(condition), self._flags(condition)])

    def _equal(self, field: str, value: object) -> Any | None:
        """A condition that holds at least where the field equals the value; None where nothing can."""
        kind = value_type(value)
        if kind is None or not self._has(field, kind):
            return None
        if kind == "number" and isinstance(value, (int, float)):
            number = float(comparable(value))
            return self._dialect.number(filter_field(field, kind), gte=number, lte=number)
        return self._dialect.one_of(filter_field(field, kind), [str(stored_value(value))])

    def _texts(self, field: str, texts: Sequence[str]) -> Any | None:
        if not texts or not self._has(field, "text"):
            return None
        return self._dialect.one_of(filter_field(field, "text"), texts)

    def _any_text(self, field: str) -> Any | None:
        """The field holds a text: as near as an engine comes to comparing texts."""
        if not self._has(field, "text"):
            return None
        return self._dialect.none_of([self._dialect.empty(filter_field(field, "text"))])

    def _numbers(self, condition: Condition) -> Any | None:
        """The field holds a number that meets the comparison; its end is included where neighbours share a float."""
        value, operator = condition.value, condition.operator
        if isinstance(value, (str, tuple)) or value_type(value) is None or not self._has(condition.field, "number"):
            return None
        if _inexact(value) and operator in ("lt", "gt"):
            operator = "lte" if operator == "lt" else "gte"
        return self._dialect.number(filter_field(condition.field, "number"), **{operator: float(comparable(value))})

    def _flags(self, condition: Condition) -> Any | None:
        """The field holds a flag that meets the comparison: false and true compare like 0 and 1."""
        flags = [str(stored_value(flag)) for flag in (False, True) if condition.matches({condition.field: flag})]
        if not flags or not self._has(condition.field, "flag"):
            return None
        return self._dialect.one_of(filter_field(condition.field, "flag"), flags)

    def _above_floor(self, table: str, floor: Position) -> Any:
        """The chunk is of another table, or was written at about the floor or above it."""
        elsewhere = self._dialect.none_of([self._dialect.one_of(TABLE, [table])])
        return self._dialect.any_of([elsewhere, self._dialect.number(PLACE, gte=place(floor))])

    def _any_of(self, clauses: Sequence[Any | None]) -> Any:
        possible = [clause for clause in clauses if clause is not None]
        if not possible:
            return self._dialect.nothing()
        return possible[0] if len(possible) == 1 else self._dialect.any_of(possible)

    def _has(self, field: str, kind: ValueType) -> bool:
        return filter_field(field, kind) in self._indexed


def matches(point: ChunkPoint, conditions: Sequence[Condition], floors: Mapping[str, Position]) -> bool:
    """Whether a hit really is a candidate: what the engine's filter could not decide."""
    floor = floors.get(point.key.table)
    return (floor is None or point.position > floor) and all_match(conditions, point.filterable)


def _inexact(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= EXACT_FLOAT

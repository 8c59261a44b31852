"""Conditions on named values: row filters of a table, metadata filters of a search."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rtrag.domain.document import Json, Scalar

Operator: TypeAlias = Literal["eq", "ne", "in", "lt", "lte", "gt", "gte"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """``field operator value``; ``in`` takes a tuple of values.

    A field whose value is a list matches when one of its elements does (``ne``: when none equals).
    A missing field or a null matches only ``ne``. Truth values have no order, and are not the numbers 0 and 1.
    """

    field: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]

    def matches(self, values: Mapping[str, Json]) -> bool:
        """Whether the condition holds for these values."""
        found = values.get(self.field)
        elements: list[Json] = found if isinstance(found, list) else [found]
        if self.operator == "ne":
            return all(not _same(element, self.value) for element in elements)
        return any(_holds(self.operator, element, self.value) for element in elements)


def all_match(conditions: Iterable[Condition], values: Mapping[str, Json]) -> bool:
    """Whether every condition holds."""
    return all(condition.matches(values) for condition in conditions)


def _same(left: Json, right: object) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _holds(operator: Operator, element: Json, value: Any) -> bool:
    if element is None:
        return False
    if operator == "eq":
        return _same(element, value)
    if operator == "in":
        return any(_same(element, candidate) for candidate in value)
    if isinstance(element, (bool, list, dict)) or isinstance(value, bool):
        return False
    if isinstance(element, str) != isinstance(value, str):
        return False
    return _COMPARISONS[operator](element, value)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
}

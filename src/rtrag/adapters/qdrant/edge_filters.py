"""Search filters for Edge."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from qdrant_edge import FieldCondition, Filter, HasIdCondition, IsEmptyCondition, RangeFloat

from rtrag.adapters.qdrant.edge_shards import keyword
from rtrag.adapters.qdrant.points import path
from rtrag.adapters.qdrant.search_rules import SearchRules
from rtrag.domain.retrieval import SearchRequest


def search_filter(request: SearchRequest, indexed: Collection[str]) -> Filter | None:
    """The filter of a request, None when everything is a candidate; ``indexed`` as in ``SearchRules``."""
    if not (request.tables or request.hidden_below or request.conditions):
        return None
    return SearchRules(_DIALECT, indexed).filter(request)


def number(field: str, **bounds: float) -> FieldCondition:
    """The field holds a number within these bounds: ``lt``, ``lte``, ``gt``, ``gte``."""
    return FieldCondition(key=path(field), range=RangeFloat(**bounds))


class _EdgeDialect:
    """Implements ``search_rules.Dialect``."""

    def one_of(self, field: str, values: Sequence[str]) -> FieldCondition:
        return keyword(field, values)

    def number(self, field: str, **bounds: float) -> FieldCondition:
        return number(field, **bounds)

    def empty(self, field: str) -> IsEmptyCondition:
        return IsEmptyCondition(key=path(field))

    def nothing(self) -> HasIdCondition:
        return HasIdCondition(set())  # no point has an id of an empty set

    def all_of(self, clauses: list[Any]) -> Filter:
        return Filter(must=clauses)

    def any_of(self, clauses: list[Any]) -> Filter:
        return Filter(should=clauses)

    def none_of(self, clauses: list[Any]) -> Filter:
        return Filter(must_not=clauses)


_DIALECT: Final = _EdgeDialect()

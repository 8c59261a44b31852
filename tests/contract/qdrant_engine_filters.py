"""Filters of the Qdrant client in the words of the engine."""

from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models


def edge_filter(given: models.Filter | None) -> edge.Filter | None:
    """The same filter; None for none."""
    if given is None:
        return None
    return edge.Filter(
        must=_conditions(given.must), should=_conditions(given.should), must_not=_conditions(given.must_not)
    )


def _conditions(given: Any) -> list[Any] | None:
    if given is None:
        return None
    return [_condition(each) for each in (given if isinstance(given, list) else [given])]


def _condition(given: Any) -> Any:
    match given:
        case models.Filter():
            return edge_filter(given)
        case models.HasIdCondition(has_id=ids):
            return edge.HasIdCondition(set(ids))
        case models.IsEmptyCondition(is_empty=field):
            return edge.IsEmptyCondition(key=field.key)
        case models.FieldCondition(key=key, match=models.MatchValue(value=value)):
            return edge.FieldCondition(key=key, match=edge.MatchValue(value))
        case models.FieldCondition(key=key, match=models.MatchAny(any=values)):
            return edge.FieldCondition(key=key, match=edge.MatchAny([str(value) for value in values]))
        case models.FieldCondition(key=key, range=models.Range() as bounds):
            limits = bounds.model_dump(exclude_none=True)
            return edge.FieldCondition(key=key, range=edge.RangeFloat(**limits))
        case _:
            raise NotImplementedError(type(given))

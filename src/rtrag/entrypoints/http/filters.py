"""The shapes of a query's filters on metadata, and the conditions that they mean."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from rtrag.domain.conditions import Condition, Operator
from rtrag.domain.document import Scalar
from rtrag.domain.errors import InvalidRequestError
from rtrag.entrypoints.http.texts import Text

FilterScalar: TypeAlias = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Text


class FilterRange(BaseModel):
    """Comparisons that must all hold; ``ne`` also matches documents that lack the field."""

    model_config = ConfigDict(extra="forbid")

    eq: FilterScalar | None = None
    ne: FilterScalar | None = None
    lt: FilterScalar | None = None
    lte: FilterScalar | None = None
    gt: FilterScalar | None = None
    gte: FilterScalar | None = None

    def conditions(self, field: str) -> list[Condition]:
        operators: tuple[Operator, ...] = ("eq", "ne", "lt", "lte", "gt", "gte")
        values = [(operator, getattr(self, operator)) for operator in operators]
        found = [Condition(field=field, operator=name, value=value) for name, value in values if value is not None]
        if not found:
            raise InvalidRequestError(
                f"The filter on {field!r} compares with nothing; give a value, a list of values, or one or more of "
                + ", ".join(operators)
                + "."
            )
        return found


FilterList: TypeAlias = Annotated[list[FilterScalar], Field(min_length=1, max_length=256)]
Filters: TypeAlias = Annotated[dict[str, FilterScalar | FilterList | FilterRange], Field(max_length=32)]


def conditions_of(filters: Filters) -> tuple[Condition, ...]:
    """What a document has to meet. Raises InvalidRequestError."""
    conditions: list[Condition] = []
    for field, wanted in filters.items():
        if isinstance(wanted, FilterRange):
            conditions += wanted.conditions(field)
        elif isinstance(wanted, list):
            values: tuple[Scalar, ...] = tuple(wanted)
            conditions.append(Condition(field=field, operator="in", value=values))
        else:
            conditions.append(Condition(field=field, operator="eq", value=wanted))
    return tuple(conditions)

"""Conditions on named values: what matches, and that nothing raises whatever the value is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.conditions import Condition, Operator, all_match
from rtrag.domain.document import Json, Scalar

ORDERINGS: tuple[Operator, ...] = ("lt", "lte", "gt", "gte")
scalars = st.one_of(st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False, width=16), st.text(max_size=2))
values = st.recursive(
    st.one_of(st.none(), scalars),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=1), inner, max_size=2)),
    max_leaves=4,
)


def holds(operator: Operator, value: Scalar | tuple[Scalar, ...], found: Json) -> bool:
    return Condition(field="f", operator=operator, value=value).matches({"f": found})


@pytest.mark.parametrize(
    ("operator", "value", "found", "expected"),
    [
        ("eq", "a", "a", True),
        ("eq", "a", "b", False),
        ("eq", 1, 1.0, True),
        ("eq", 1, True, False),
        ("eq", False, 0, False),
        ("eq", "1", 1, False),
        ("eq", "a", ["b", "a"], True),
        ("eq", "a", [], False),
        ("ne", "a", ["b", "c"], True),
        ("ne", "a", ["b", "a"], False),
        ("ne", "a", [], True),
        ("in", ("a", 2), 2, True),
        ("in", ("a", 2), ["x", "a"], True),
        ("in", (1,), True, False),
        ("in", (), "a", False),
        ("lt", 2, 1.5, True),
        ("lte", 2, 2, True),
        ("gt", "2024-01-31", "2024-02-01", True),
        ("gt", 1, "2", False),
        ("gte", "1", 2, False),
        ("gt", 0, True, False),
        ("gte", True, 1, False),
        ("gt", 1, [0, 3], True),
        ("lt", 1, {"a": 0}, False),
    ],
)
def test_a_condition_holds_for_values_of_its_own_kind(
    operator: Operator, value: Scalar | tuple[Scalar, ...], found: Json, expected: bool
) -> None:
    assert holds(operator, value, found) == expected


@pytest.mark.parametrize("operator", ["eq", "in", *ORDERINGS])
def test_a_missing_field_or_a_null_matches_nothing_but_unequal(operator: Operator) -> None:
    condition = Condition(field="f", operator=operator, value=("a",) if operator == "in" else "a")
    rows: list[dict[str, Json]] = [{}, {"f": None}, {"f": [None]}]
    assert not any(condition.matches(row) for row in rows)
    unequal = Condition(field="f", operator="ne", value="a")
    assert all(unequal.matches(row) for row in rows)


@given(scalars, values)
def test_equal_and_unequal_never_agree(value: Scalar, found: Json) -> None:
    assert holds("eq", value, found) != holds("ne", value, found)


@given(scalars, values)
def test_in_with_one_value_is_equal(value: Scalar, found: Json) -> None:
    assert holds("in", (value,), found) == holds("eq", value, found)


@given(st.sampled_from([("lt", "gte"), ("gt", "lte")]), st.integers() | st.text(), st.integers() | st.text())
def test_of_two_opposite_orders_one_holds_where_the_kinds_agree(
    pair: tuple[Operator, Operator], value: Scalar, found: Json
) -> None:
    assert sum(holds(operator, value, found) for operator in pair) == (isinstance(value, str) == isinstance(found, str))


@given(st.sampled_from(ORDERINGS), scalars, values)
def test_an_order_never_raises_and_a_list_matches_by_its_elements(
    operator: Operator, value: Scalar, found: Json
) -> None:
    elements = found if isinstance(found, list) else [found]
    assert holds(operator, value, found) == any(
        holds(operator, value, element) for element in elements if not isinstance(element, list)
    )


def test_all_conditions_have_to_hold_and_none_is_no_restriction() -> None:
    first, second = (Condition(field=name, operator="eq", value=1) for name in ("a", "b"))
    assert all_match((), {})
    assert all_match((first, second), {"a": 1, "b": 1})
    assert not all_match((first, second), {"a": 1, "b": 2})

"""The conditions that guard writes mean what positions mean."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from qdrant_client.local.payload_filters import check_filter
from qdrant_client.models import Filter

from rtrag.adapters.qdrant.points import POSITION_FIELDS
from rtrag.adapters.qdrant.server_guards import NOTHING_STANDS, above, at, below, guarded, only
from rtrag.domain.position import MAX_LSN, Position

FEW = st.integers(0, 2)
LARGE = st.integers(MAX_LSN - 2, MAX_LSN)
POSITIONS = st.builds(Position, FEW, FEW | LARGE, st.integers(-1, 2))
FIRST, SECOND = (f"00000000-0000-4000-8000-{number:012x}" for number in (1, 2))


def holds(condition: Filter, position: Position | None, point_id: str = FIRST) -> bool:
    """Whether the condition lets a point at this position through."""
    fields: dict[str, Any] = {name: getattr(position, name) for name in POSITION_FIELDS} if position else {}
    return bool(check_filter(condition, fields, point_id, {}))


@given(POSITIONS, POSITIONS)
def test_a_guard_compares_as_positions_do(standing: Position, given_one: Position) -> None:
    assert holds(below(given_one), standing) == (standing < given_one)
    assert holds(above(given_one), standing) == (standing > given_one)
    assert holds(at(given_one), standing) == (standing == given_one)


@given(POSITIONS)
def test_what_has_no_position_meets_no_guard(position: Position) -> None:
    for condition in (below(position), above(position), at(position), above(None)):
        assert not holds(condition, None)


@given(POSITIONS)
def test_any_position_is_above_none(position: Position) -> None:
    assert holds(above(None), position)


@given(POSITIONS)
def test_nothing_may_stand_means_nothing(position: Position) -> None:
    assert not holds(NOTHING_STANDS, position)
    assert not holds(NOTHING_STANDS, None)


@given(POSITIONS, POSITIONS, POSITIONS)
def test_in_a_group_each_point_is_held_against_its_own_position(
    first: Position, second: Position, standing: Position
) -> None:
    groups: dict[Position, list[str]] = {}
    groups.setdefault(first, []).append(FIRST)
    groups.setdefault(second, []).append(SECOND)
    condition = guarded(groups, below)
    assert holds(condition, standing, FIRST) == (standing < first)
    assert holds(condition, standing, SECOND) == (standing < second)
    assert not holds(condition, standing, "00000000-0000-4000-8000-00000000000f")


def test_a_condition_for_some_points_holds_for_no_other() -> None:
    condition = only([FIRST], at(Position(1, 2, 3)))
    assert holds(condition, Position(1, 2, 3), FIRST)
    assert not holds(condition, Position(1, 2, 3), SECOND)

"""Positions are ordered by epoch, then LSN, then ordinal, and read back what they wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.position import Position, format_lsn, parse_lsn

lsns = st.integers(0, 2**64 - 1)
positions = st.builds(Position, st.integers(0, 10**6), lsns, st.integers(-1, 10**6))


@given(positions)
def test_a_position_reads_back_what_it_wrote(position: Position) -> None:
    assert Position.parse(str(position)) == position


@given(lsns)
def test_an_lsn_reads_back_what_it_wrote(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn


def test_an_lsn_is_written_as_postgresql_writes_it() -> None:
    assert format_lsn(0x16_B374_D848) == "16/B374D848"
    assert format_lsn(0) == "0/0"
    assert parse_lsn("16/b374d848") == 0x16_B374_D848


@given(positions, positions)
def test_epoch_counts_before_lsn_and_lsn_before_ordinal(left: Position, right: Position) -> None:
    assert (left < right) == ((left.epoch, left.lsn, left.ordinal) < (right.epoch, right.lsn, right.ordinal))


@given(st.integers(1, 10**6), st.integers(1, 2**53), st.integers(0, 10**6), st.integers(0, 2**64 - 1))
def test_copied_rows_stand_below_every_streamed_change_and_above_everything_older(
    epoch: int, lsn: int, ordinal: int, older: int
) -> None:
    assert Position(epoch - 1, older, ordinal) < Position.floor_of(epoch)
    assert Position.floor_of(epoch) < Position.copied(epoch) < Position(epoch, lsn, ordinal)


@given(st.integers(1, 9), st.integers(1, 2**53), st.integers(0, 10**6))
def test_a_read_stands_below_the_transaction_that_commits_at_its_lsn_and_above_all_before(
    epoch: int, lsn: int, ordinal: int
) -> None:
    read = Position.of_read(epoch, lsn)
    assert Position(epoch, lsn - 1, ordinal) < read < Position(epoch, lsn, ordinal)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1:0/0", "1:0/0:0:0", "x:0/0:0", "1:0/0:x", "1:0:0", " 1:0/0:0", "1:0/0:0\n", "1_0:0/0:0", "-1:0/0:0"],
)
def test_what_is_no_position_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an? (position|LSN).*expected.*16/B374D848"):
        Position.parse(text)


@pytest.mark.parametrize(
    "text", ["", "/", "0", "0/", "/0", "-1/0", "0x1/0", "1_0/0", " 1/0", "0/0/0", "123456789/0", "g/0"]
)
def test_what_is_no_lsn_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an LSN.*expected.*16/B374D848"):
        parse_lsn(text)

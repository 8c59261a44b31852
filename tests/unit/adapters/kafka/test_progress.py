"""Which offsets may be told, and when a goal is reached."""

from hypothesis import given
from hypothesis import strategies as st

from rtrag.adapters.kafka.progress import Goal, Partition, Progress

A: Partition = ("documents", 0)
B: Partition = ("documents", 1)


def goal(at: int, ends: dict[Partition, int]) -> Goal:
    return Goal(lsn=at, taken=0.0, ends=ends)


def lsn(reached: Goal | None) -> int | None:
    return None if reached is None else reached.lsn


batches = st.lists(st.dictionaries(st.sampled_from([A, B]), st.integers(1, 5), min_size=1), min_size=1, max_size=12)


@given(batches, st.data())
def test_only_offsets_of_durable_batches_are_told_each_once_and_rising(
    steps: list[dict[Partition, int]], data: st.DataObject
) -> None:
    progress, at = Progress(), {A: 0, B: 0}
    ends: list[dict[Partition, int]] = []
    for step in steps:
        at.update({each: at[each] + count for each, count in step.items()})
        assert progress.delivered({each: at[each] for each in step}) == len(ends) + 1
        ends.append(dict(at))
    told = {A: 0, B: 0}
    durable = sorted(data.draw(st.lists(st.integers(0, len(ends)), max_size=5)))
    for mark in durable:
        fresh = progress.durable(mark)
        progress.told(fresh)
        assert all(offset > told[each] for each, offset in fresh.items())
        told.update(fresh)
        assert told == (ends[mark - 1] if mark else {A: 0, B: 0})


def test_a_goal_is_reached_when_every_partition_has_passed_its_end() -> None:
    progress = Progress()
    progress.aim(goal(100, {A: 3, B: 2}))
    assert progress.reached({A: 0, B: 0}, {}) is None
    progress.delivered({A: 3})
    assert progress.reached({A: 0, B: 0}, {}) is None
    progress.delivered({B: 2})
    assert lsn(progress.reached({A: 0, B: 0}, {})) == 100
    assert progress.reached({A: 0, B: 0}, {}) is None, "a goal is reached once"


def test_where_reading_began_counts_as_passed() -> None:
    progress = Progress()
    progress.aim(goal(100, {A: 3}))
    assert lsn(progress.reached({A: 3}, {})) == 100


def test_for_partitions_of_others_counts_what_they_have_told() -> None:
    progress = Progress()
    progress.aim(goal(100, {A: 3, B: 2}))
    progress.delivered({A: 3})
    assert progress.foreign({A: 0}) == (B,)
    assert progress.reached({A: 0}, {B: 1}) is None
    assert lsn(progress.reached({A: 0}, {B: 2})) == 100


def test_of_several_goals_the_highest_one_reached_is_given() -> None:
    progress = Progress()
    progress.aim(goal(100, {A: 1}))
    progress.aim(goal(200, {A: 2}))
    progress.delivered({A: 4})
    assert lsn(progress.reached({A: 0}, {})) == 200


def test_however_long_indexing_is_held_up_only_the_next_goal_and_the_newest_are_kept() -> None:
    progress = Progress()
    for number in range(1, 1001):
        progress.aim(goal(number, {A: number}))
    assert len(progress._goals) == 2
    progress.delivered({A: 500})
    assert lsn(progress.reached({A: 0}, {})) == 1
    progress.delivered({A: 1000})
    assert lsn(progress.reached({A: 0}, {})) == 1000


def test_leaving_partitions_gives_their_durable_offsets_and_forgets_what_was_delivered() -> None:
    progress = Progress()
    progress.durable(progress.delivered({A: 2, B: 5}))
    progress.delivered({A: 7})
    assert progress.leave([A]) == {A: 2}, "what is not durable is not told"
    progress.aim(goal(100, {A: 7}))
    assert progress.reached({B: 0}, {}) is None, "whoever has it now has told nothing of it"


def test_offsets_that_could_not_be_told_are_given_again() -> None:
    progress = Progress()
    mark = progress.delivered({A: 2})
    assert progress.durable(mark) == {A: 2}
    assert progress.durable(mark) == {A: 2}, "nobody has said that the group knows"
    progress.told({A: 2})
    assert progress.durable(mark) == {}


def test_what_is_under_way_of_a_partition_that_has_left_is_never_told() -> None:
    progress = Progress()
    mark = progress.delivered({A: 7, B: 1})
    assert progress.leave([A]) == {}
    assert progress.durable(mark) == {B: 1}


def test_a_partition_that_returns_further_on_is_not_measured_by_what_was_under_way_when_it_left() -> None:
    progress = Progress()
    progress.leave([A])
    progress.delivered({A: 4})
    progress.aim(goal(100, {A: 9}))
    assert lsn(progress.reached({A: 9}, {})) == 100

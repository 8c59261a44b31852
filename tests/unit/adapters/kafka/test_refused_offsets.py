"""Offsets that the group refuses, because it divides its partitions anew, are told again."""

from typing import Any

from rtrag.adapters.kafka.progress import Offsets, Partition, Progress
from rtrag.adapters.kafka.source import KafkaChangeSource

A: Partition = ("documents", 0)


class Group:
    """A consumer whose group refuses the first commit."""

    def __init__(self) -> None:
        self.asked: list[Offsets] = []

    async def commit(self, offsets: Offsets) -> bool:
        self.asked.append(dict(offsets))
        return len(self.asked) > 1


async def test_a_commit_that_falls_into_a_rebalance_is_repeated_until_it_is_taken() -> None:
    group, progress = Group(), Progress()
    nothing: Any = None
    source = KafkaChangeSource(group, nothing, progress, nothing, nothing)  # type: ignore[arg-type]  # only commit is used
    mark = progress.delivered({A: 7})
    for _ in range(3):
        await source.confirm(0, mark)
    assert group.asked == [{A: 7}, {A: 7}, {}]

"""How far a group has come: which offsets may be told, and which LSN everything has passed.

No I/O: partitions are ``(topic, number)``, offsets are those of the next record.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Partition: TypeAlias = tuple[str, int]
Offsets: TypeAlias = Mapping[Partition, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Once every partition has reached its offset, everything up to the LSN is applied.

    ``taken`` is the moment of the monotonic clock at which the LSN was the newest.
    """

    lsn: int
    taken: float
    ends: Offsets


class Progress:
    """Offsets by batch. Batches are handed out in order, numbered from 1, and become durable in order.

    Partitions leave in the consumer's thread, everything else happens in the event loop's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mark = 0
        self._delivered: dict[Partition, int] = {}
        self._batches: deque[tuple[int, dict[Partition, int]]] = deque()
        self._untold: dict[Partition, int] = {}  # durable
        self._goals: deque[Goal] = deque()

    def delivered(self, offsets: Offsets) -> int:
        """A batch goes out that ends at these offsets; its mark."""
        with self._lock:
            self._mark += 1
            self._delivered.update(offsets)
            self._batches.append((self._mark, dict(offsets)))
            return self._mark

    def durable(self, mark: int) -> Offsets:
        """The batches up to this mark are durable; the offsets that may be told and have not been."""
        with self._lock:
            while self._batches and self._batches[0][0] <= mark:
                self._untold.update(self._batches.popleft()[1])
            return dict(self._untold)

    def told(self, offsets: Offsets) -> None:
        """The group knows these offsets."""
        with self._lock:
            for partition, offset in offsets.items():
                if self._untold.get(partition) == offset:
                    del self._untold[partition]

    def leave(self, partitions: Sequence[Partition]) -> Offsets:
        """Others read these partitions from now on; the durable offsets to tell before.

        What is still under way of them is never told: it would throw the new owner back.
        """
        with self._lock:
            for _, offsets in self._batches:
                for each in partitions:
                    offsets.pop(each, None)
            for each in partitions:
                self._delivered.pop(each, None)
            return {each: self._untold.pop(each) for each in partitions if each in self._untold}

    def aim(self, goal: Goal) -> None:
        """Watch for a goal; goals come in the order of their LSNs. The next one and the newest are enough."""
        if len(self._goals) > 1:
            self._goals.pop()
        self._goals.append(goal)

    def reached(self, starts: Offsets, told: Offsets) -> Goal | None:
        """The goal with the highest LSN of those that are reached, None if none is.

        ``starts`` are the partitions of this member with the offset where reading began, ``told`` what the group has
        told of the others.
        """
        highest = None
        while self._goals and not self._short(self._goals[0], starts, told):
            highest = self._goals.popleft()
        return highest

    def foreign(self, starts: Offsets) -> tuple[Partition, ...]:
        """The partitions of others that the next goal waits for."""
        if not self._goals:
            return ()
        return tuple(each for each in self._goals[0].ends if each not in starts)

    def _short(self, goal: Goal, starts: Offsets, told: Offsets) -> bool:
        for partition, end in goal.ends.items():
            # A batch that was under way when a partition left and returned may end before where reading began again.
            at = (
                max(self._delivered.get(partition, 0), starts[partition])
                if partition in starts
                else told.get(partition, 0)
            )
            if at < end:
                return True
        return False

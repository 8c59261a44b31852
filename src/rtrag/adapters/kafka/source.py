"""Changes that Debezium has put into Kafka, as a ChangeSource.

Partitions have no order among each other, so a batch completes nothing. What all are sure to have passed is found
out apart (``watermark``) and comes as a checkpoint with the first batch that has reached it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rtrag.adapters.kafka.consumer import GroupConsumer
from rtrag.adapters.kafka.envelope import EnvelopeDecoder, Ignored, Poison, RawRecord
from rtrag.adapters.kafka.progress import Partition, Progress
from rtrag.domain.change import ChangeBatch, ChangeEvent, Checkpoint
from rtrag.ports.changes import BatchLimits

_FOREIGN_SECONDS: Final = 0.2


class KafkaChangeSource:
    """The ChangeSource of a group's member. ``keep`` keeps a record that cannot be read, durably."""

    def __init__(
        self,
        consumer: GroupConsumer,
        decoder: EnvelopeDecoder,
        progress: Progress,
        barrier: Callable[[], Awaitable[int]],
        keep: Callable[[RawRecord, str], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._decoder = decoder
        self._progress = progress
        self._barrier = barrier
        self._keep = keep
        self._told: Mapping[Partition, int] = {}
        self._asked = 0.0
        self._pending: list[RawRecord] = []

    @property
    def broken_tables(self) -> Mapping[str, str]:
        """Tables whose changes cannot be mapped any more, with the cause and the fix."""
        return self._decoder.broken_tables

    async def next_batch(self, limits: BatchLimits) -> ChangeBatch:
        """See ChangeSource."""
        while True:
            if not self._pending:
                self._pending = self._consumer.take(limits)
            checkpoint = await self._checkpoint()  # of what was delivered before: it may ride on any later batch
            if self._pending or checkpoint is not None:
                return await self._batch(checkpoint)
            await self._rest()

    async def confirm(self, lsn: int, mark: int) -> None:  # noqa: ARG002 - the slot is Debezium's to confirm
        """See ChangeSource."""
        offsets = self._progress.durable(mark)
        if await self._consumer.commit(offsets):
            self._progress.told(offsets)

    async def barrier(self) -> int:
        """See ChangeSource. Takes a second or two: Debezium has to tell the server what Kafka has for good."""
        return await self._barrier()

    async def _batch(self, checkpoint: Checkpoint | None) -> ChangeBatch:
        events: list[ChangeEvent] = []
        for record in self._pending:
            found = self._decoder.decode(record)
            if isinstance(found, Poison):
                await self._keep(record, found.cause)
            elif not isinstance(found, Ignored):
                events.extend(found)
        # Nothing is awaited from here on: a cancelled pull decodes the same records again.
        taken, self._pending = self._pending, []
        mark = self._progress.delivered({(each.topic, each.partition): each.offset + 1 for each in taken})
        size = sum(each.size for each in taken)
        return ChangeBatch(events=tuple(events), checkpoint=checkpoint, mark=mark, size=size)

    async def _checkpoint(self) -> Checkpoint | None:
        starts = self._consumer.assigned
        foreign = self._progress.foreign(starts)
        if foreign and time.monotonic() - self._asked > _FOREIGN_SECONDS:
            self._told = await self._consumer.told(foreign)
            self._asked = time.monotonic()
        goal = self._progress.reached(starts, self._told)
        return None if goal is None else Checkpoint(lsn=goal.lsn, taken=goal.taken)

    async def _rest(self) -> None:
        """Wait for records, or for a look at what others have told."""
        if not self._progress.foreign(self._consumer.assigned):
            await self._consumer.wait()
            return
        try:
            async with asyncio.timeout(_FOREIGN_SECONDS):
                await self._consumer.wait()
        except TimeoutError:
            return

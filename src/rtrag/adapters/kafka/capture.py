"""Capture through Debezium and Kafka, joined: the group's member, the watermark, and reads from the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from rtrag.adapters.kafka.consumer import ConsumerSettings, GroupConsumer
from rtrag.adapters.kafka.envelope import EnvelopeDecoder, RawRecord
from rtrag.adapters.kafka.progress import Goal, Progress
from rtrag.adapters.kafka.source import KafkaChangeSource
from rtrag.adapters.kafka.topics import TopicEnds
from rtrag.adapters.kafka.watermark import Server, Watermark
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.manifest import SourceState
from rtrag.ports.changes import RowReader, SourceOpening


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """What a capture asks of the source database: rows, settled points, and how the connector's slot is."""

    rows: RowReader
    rows_apart: RowReader
    server: Server
    slot_health: Callable[[], Awaitable[Mapping[str, int | str | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is known when capture starts.

    Attributes:
        state: to be recorded; its epoch is that of the connector's topic prefix.
        recorded: as it was recorded before, None at the first start.
        copied: the last epoch that is complete, by table.
    """

    state: SourceState
    recorded: SourceState | None
    copied: Mapping[str, int]


class KafkaCapture:
    """Port Capture. There is no snapshot: a new epoch's rows come through the stream."""

    def __init__(
        self, opening: SourceOpening, source: KafkaChangeSource, database: Database, watermark: Watermark
    ) -> None:
        self.opening = opening
        self.source = source
        self.snapshot = None
        self.rows = database.rows
        self.rows_apart = database.rows_apart
        self._database = database
        self._watermark = watermark

    @property
    def broken_tables(self) -> Mapping[str, str]:
        """See Capture. Their changes become dead letters one by one meanwhile."""
        return self.source.broken_tables

    @property
    def trouble(self) -> str | None:
        """See Capture."""
        trouble = self._watermark.trouble
        return None if trouble is None else f"{trouble}. `rtrag debezium status` tells how the connector is."

    async def slot_health(self) -> Mapping[str, int | str | None]:
        """See Capture; the slot is Debezium's."""
        return await self._database.slot_health()


@asynccontextmanager
async def open_kafka_capture(
    settings: ConsumerSettings,
    decoder: EnvelopeDecoder,
    start: Start,
    database: Database,
    keep: Callable[[RawRecord, str], Awaitable[None]],
) -> AsyncIterator[KafkaCapture]:
    """Join the group. Raises ConfigurationError where a person has to act, TransientError where trying again may do."""
    opening = decide_opening(start)
    progress = Progress()
    ends = TopicEnds(settings.bootstrap_servers, settings.options)
    consumer = GroupConsumer(settings, progress.leave)

    def aim(goal: Goal) -> None:
        progress.aim(goal)
        consumer.wake()

    watermark = Watermark(database.server, partial(ends.of, settings.topics), aim, consumer.fail)
    source = KafkaChangeSource(consumer, decoder, progress, watermark.barrier, keep)
    consumer.start()
    watching = asyncio.create_task(watermark.run(), name="watermark")
    try:
        yield KafkaCapture(opening, source, database, watermark)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await consumer.close()


def decide_opening(start: Start) -> SourceOpening:
    """Go on in the epoch, or begin a new one whose rows the stream brings.

    Raises ConfigurationError when the prefix names an epoch that cannot be right.
    """
    state, recorded = start.state, start.recorded
    if recorded is not None:
        fix = _new_epoch(recorded.epoch)
        if state.epoch < recorded.epoch:
            raise ConfigurationError(
                f"The topic prefix names epoch {state.epoch}, but the index is at epoch {recorded.epoch}: older "
                "changes would be taken for newer ones.",
                fix=fix,
            )
        here, there = (state.system_identifier, state.timeline), (recorded.system_identifier, recorded.timeline)
        if state.epoch == recorded.epoch and here != there:
            raise ConfigurationError(
                f"The database is another one, or another history of it (server {here[0]}, timeline {here[1]}; before "
                f"{there[0]}, {there[1]}): its positions do not compare with those of epoch {recorded.epoch}.",
                fix=fix,
            )
    late = sorted(table for table, epoch in start.copied.items() if epoch != state.epoch)
    if not late:
        return SourceOpening(state=state, copy=False, reason=None)
    if len(late) < len(start.copied):
        raise ConfigurationError(
            f"{', '.join(late)} joined in epoch {state.epoch}, whose rows have come already: Debezium sends no old "
            "rows of a table that is added.",
            fix=_new_epoch(state.epoch),
        )
    lost = recorded is not None and recorded.epoch != state.epoch
    reason = f"epoch {state.epoch} begins: not all rows of {', '.join(late)} have come yet"
    return SourceOpening(state=state, copy=True, reason=reason, lost=lost)


async def refuse_told_offsets(settings: ConsumerSettings, epoch: int) -> None:
    """For an index in which nothing of this epoch is recorded: a group that has read its topics did so for another one.

    Raises ConfigurationError if the group has told offsets, ServiceUnavailableError if Kafka does not answer.
    """
    ends = TopicEnds(settings.bootstrap_servers, settings.options)
    if await ends.told_by(settings.group, settings.topics):
        raise ConfigurationError(
            f"The index is new, but the group {settings.group!r} has read the topics of epoch {epoch} before, for an "
            "index that is gone: what it has read would be missing.",
            fix="give the group another name (RTRAG_SOURCE__GROUP), so that the topics are read from their beginning; "
            f"if records were removed from them meanwhile, {_new_epoch(epoch)}",
        )


def _new_epoch(epoch: int) -> str:
    return (
        f"give the connector a topic.prefix that ends in {epoch + 1} and a new slot, and set the same prefix here "
        "(RTRAG_SOURCE__TOPIC_PREFIX)"
    )

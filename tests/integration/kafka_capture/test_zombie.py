"""A worker that stands still loses its partitions; when it wakes up and writes what it held, the newest stays."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import Event

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way
from confluent_kafka import Consumer, TopicPartition

from application_bench import Bench
from integration.kafka_capture.members import PATIENCE_SECONDS, Member, member
from integration.kafka_capture.place import sql
from rtrag.domain.change import ChangeBatch, DocumentChange, Truncate
from rtrag.domain.errors import SourceInterruptedError
from rtrag.ports.changes import BatchLimits

# The shortest that a broker allows: so long must a member be silent before it is taken for dead.
QUICK = {"session.timeout.ms": 6000, "max.poll.interval.ms": 6000, "heartbeat.interval.ms": 500}

NAMES = ("read", "planned")


@pytest.fixture(scope="module")
def own(stack_addresses: Addresses) -> Iterator[Way]:
    with way(stack_addresses) as own:
        sql(own, "INSERT INTO documents (id, content) VALUES ('first', 'So that there is a topic.')")
        own.connect({"topic.creation.default.partitions": "2"})
        yield own


@asynccontextmanager
async def frozen(worker: Member) -> AsyncIterator[None]:
    """The worker does not poll, as if its process were stopped, for as long as the block lasts."""
    asleep, wake = Event(), Event()

    def sleep() -> None:
        asleep.set()
        wake.wait(PATIENCE_SECONDS)

    worker.consumer._asked.put(sleep)
    await asyncio.to_thread(asleep.wait, PATIENCE_SECONDS)
    try:
        yield
    finally:
        wake.set()


def told(own: Way) -> int:
    """The sum of the offsets that the group has told."""
    topic = f"{own.prefix}.public.documents"
    asked = Consumer({"bootstrap.servers": own.stack.bootstrap_servers, "group.id": own.name, "log_level": 0})
    try:
        found = asked.committed([TopicPartition(topic, number) for number in range(2)], timeout=20)
    finally:
        asked.close()
    return sum(max(each.offset, 0) for each in found)


async def test_what_a_woken_worker_writes_late_is_overtaken(own: Way) -> None:
    """Of one document it has read the second version, of another one it has planned it, when it falls asleep."""
    shared = Bench()
    async with member(own, shared, options=QUICK) as zombie:
        for name in NAMES:
            sql(own, "INSERT INTO documents (id, content) VALUES (%s, 'The first version.')", name)
        await zombie.drain()
        sql(own, "UPDATE documents SET content = 'The second version.' WHERE id = 'planned'")
        prepared = await shared.indexer.prepare(changes(await zombie.pull()), zombie.capture.rows)
        sql(own, "UPDATE documents SET content = 'The second version.' WHERE id = 'read'")
        held = await zombie.pull()
        async with frozen(zombie), member(own, Bench(index=shared.index), options=QUICK) as successor:
            await successor.until_assigned(lambda partitions: partitions == 2)
            sql(own, "UPDATE documents SET content = 'The third version.'")
            await successor.drain()
            assert [await shared.content(name) for name in NAMES] == ["The third version."] * 2
        before = told(own)
        await shared.indexer.finish(prepared)
        await zombie.apply(held)
        assert [await shared.content(name) for name in NAMES] == ["The third version."] * 2
        with pytest.raises(SourceInterruptedError):
            await woken(zombie)
    assert told(own) == before


def changes(batch: ChangeBatch) -> list[DocumentChange]:
    """Its changes of documents, which are all there is."""
    return [event for event in batch.events if not isinstance(event, Truncate)]


async def woken(zombie: Member) -> None:
    """It goes on as the ingest loop does, which is told that the group has gone on without it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            batch = await zombie.capture.source.next_batch(BatchLimits())
            await zombie.apply(batch)
            await zombie.confirm(batch)

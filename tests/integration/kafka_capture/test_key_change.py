"""A change of key is a delete, a tombstone and a create, perhaps in two partitions: any cut between them loses nothing.

A worker dies after each record in turn, holding the next one; what it has told the group by then is what a successor
goes on from.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way
from confluent_kafka import Consumer, Message, TopicPartition

from application_bench import Bench
from integration.kafka_capture.members import member
from integration.kafka_capture.place import messages, sql, until

RECORDS_OF_A_CHANGE = 3


@dataclass(frozen=True, slots=True)
class Moved:
    """A way on which documents have got other keys, and all its records in the order of their partitions."""

    way: Way
    topic: str
    records: list[Message]

    def told(self, group: str) -> dict[int, int]:
        """What the group has told, by partition."""
        asked = Consumer({"bootstrap.servers": self.way.stack.bootstrap_servers, "group.id": group, "log_level": 0})
        try:
            found = asked.committed([TopicPartition(self.topic, number) for number in range(2)], timeout=20)
        finally:
            asked.close()
        return {each.partition: each.offset for each in found if each.offset > 0}


@pytest.fixture(scope="module")
def moved(stack_addresses: Addresses) -> Iterator[Moved]:
    with way(stack_addresses) as own:
        own.connect({"topic.creation.default.partitions": "2"})
        for number in range(3):
            sql(own, "INSERT INTO documents (id, content) VALUES (%s, %s)", f"old-{number}", f"The text {number}.")
            sql(own, "UPDATE documents SET id = %s WHERE id = %s", f"new-{number}", f"old-{number}")
        topic, count = f"{own.prefix}.public.documents", 3 * (1 + RECORDS_OF_A_CHANGE)
        until(lambda: len(messages(own, topic)) == count, "all records are in Kafka")
        yield Moved(own, topic, messages(own, topic))


def test_the_changes_go_over_two_partitions_and_stay_in_one(moved: Moved) -> None:
    """Else the other tests would show less than they say."""
    places = {bytes(each.key() or b""): each.partition() for each in moved.records}
    pairs = [(places[b'{"id":"old-%d"}' % number], places[b'{"id":"new-%d"}' % number]) for number in range(3)]
    assert {old == new for old, new in pairs} == {True, False}
    assert sum(each.value() is None for each in moved.records) == 3


@pytest.mark.parametrize("applied", range(1, 12))
async def test_a_worker_that_dies_between_two_records_loses_nothing(moved: Moved, applied: int) -> None:
    group, bench = f"dies-after-{applied}", Bench()
    async with member(moved.way, bench, group=group) as worker:
        for _ in range(applied):
            batch = await worker.pull(records=1)
            await worker.apply(batch)
            await worker.confirm(batch)
        held = await worker.pull(records=1)
        await worker.apply(held)
    told = moved.told(group)
    assert sum(told.values()) == applied, "what was confirmed is told, what was held is not"
    async with member(moved.way, bench, group=group) as successor:
        events = await successor.drain()
    assert [event.position for event in held.events if event.position not in [e.position for e in events]] == []
    assert [await bench.content(f"old-{number}") for number in range(3)] == [None] * 3
    assert [await bench.content(f"new-{number}") for number in range(3)] == [f"The text {n}." for n in range(3)]

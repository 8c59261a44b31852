"""A TRUNCATE has no key and goes to one partition: what was written before it in the others must not come back."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way

from application_bench import TABLE, Bench
from integration.kafka_capture.members import Member, member
from integration.kafka_capture.place import instance_at, messages, sql, until

PARTITIONS = 4


@pytest.fixture(scope="module")
def own(stack_addresses: Addresses) -> Iterator[Way]:
    """A way on which 20 documents were followed by a TRUNCATE, and that by 8 others."""
    with way(stack_addresses) as own:
        own.connect({"topic.creation.default.partitions": str(PARTITIONS)})
        insert(own, "early", 20)
        sql(own, "TRUNCATE documents")
        insert(own, "later", 8)
        until(lambda: len(operations(own)) == 29, "all records are in Kafka")
        yield own


def insert(own: Way, name: str, count: int) -> None:
    """So many documents, in a transaction each."""
    for number in range(count):
        content = f"Document {number} was there {name}."
        sql(own, "INSERT INTO documents (id, content) VALUES (%s, %s)", f"{name}-{number}", content)


def operations(own: Way) -> list[tuple[int, str]]:
    """Partition and operation of every record."""
    found = [(each.partition(), each.value()) for each in messages(own, f"{own.prefix}.public.documents")]
    return [(partition or 0, json.loads(value)["op"]) for partition, value in found if value is not None]


def test_it_is_in_one_partition_and_documents_from_before_it_in_others(own: Way) -> None:
    """Else the other tests would show less than they say."""
    found = operations(own)
    assert sum(operation == "t" for _, operation in found) == 1
    assert {partition for partition, operation in found if operation == "c"} == set(range(PARTITIONS))


async def test_inserts_from_before_it_that_come_late_are_refused(own: Way) -> None:
    """Of two workers over one index, the one that has the TRUNCATE is through before the other begins."""
    bench, group, records = Bench(), "late", Counter(partition for partition, _ in operations(own))
    truncated = next(partition for partition, operation in operations(own) if operation == "t")
    async with member(own, bench, group=group) as one, member(own, Bench(index=bench.index), group=group) as other:
        for each in (one, other):
            await each.until_assigned(lambda partitions: partitions == PARTITIONS // 2)
        has_it = (f"{own.prefix}.{TABLE}", truncated) in one.consumer.assigned
        quick, late = (one, other) if has_it else (other, one)
        await apply_all(quick, records)
        floor = (await bench.index.records((), (TABLE,))).tables[TABLE].floor
        assert floor is not None
        await apply_all(late, records)
    assert late.bench.totals.snapshot()["obsolete"] > 0
    assert [number for number in range(20) if await bench.content(f"early-{number}") is not None] == []
    assert [number for number in range(8) if await bench.content(f"later-{number}") is None] == []


async def apply_all(worker: Member, records: Counter[int]) -> None:
    """Apply everything in the partitions that the worker has; each record is one event."""
    left = sum(records[number] for _, number in worker.consumer.assigned)
    while left:
        batch = await worker.pull()
        await worker.apply(batch)
        await worker.confirm(batch)
        left -= len(batch.events)


def test_answers_show_only_what_came_after_it(own: Way, tmp_path: Path) -> None:
    """First what was truncated before the instance began, then what is truncated before its eyes."""
    with instance_at(own, tmp_path) as place:
        assert sorted(place.shown("Document was there")) == [f"later-{number}" for number in range(8)]
        sql(own, "TRUNCATE documents")
        insert(own, "last", 3)
        place.settle()
        assert sorted(place.shown("Document was there")) == [f"last-{number}" for number in range(3)]
        assert place.differences() == []

"""Records that cannot be read are kept as they came, with cause and origin, and the stream goes on."""

from collections.abc import Iterator, Sequence

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way
from confluent_kafka import Message, Producer

from application_bench import Bench
from integration.kafka_capture.members import member
from integration.kafka_capture.place import messages, sql, until
from rtrag.adapters.kafka.messages import record_of

KEY = b'{"id":"doc-1"}'
POISON = [
    (KEY, b"\xff\xfe no JSON at all", "not JSON"),
    (KEY, b'{"op":"x","source":{"lsn":5}}', "the operation x is not known"),
    (KEY, b'{"op":"u","after":{"id":"doc-1","content":"?"},"source":{"lsn":-1}}', "source.lsn is no LSN"),
    (None, b'{"op":"d","before":null,"source":{"lsn":5}}', "the record has no key"),
]


@pytest.fixture(scope="module")
def own(stack_addresses: Addresses) -> Iterator[Way]:
    with way(stack_addresses) as own:
        sql(own, "INSERT INTO documents (id, content) VALUES ('doc-1', 'Before the poison.')")
        own.connect({"topic.creation.default.partitions": "1"})
        until(lambda: len(messages(own, topic(own))) == 1, "the topic is there")
        yield own


def topic(own: Way) -> str:
    return f"{own.prefix}.public.documents"


def produce(own: Way, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
    producer = Producer({"bootstrap.servers": own.stack.bootstrap_servers})
    producer.produce(topic(own), key=key, value=value, headers=list(headers))
    assert producer.flush(30) == 0


def headers_of(message: Message) -> dict[str, str]:
    return {name: value.decode() for name, value in record_of(message).headers}


async def test_poison_is_kept_with_cause_and_origin_and_the_changes_behind_it_are_applied(own: Way) -> None:
    for key, value, _ in POISON:
        produce(own, key, value, [("trace", b"of who wrote it")])
    sql(own, "UPDATE documents SET content = 'Behind the poison.' WHERE id = 'doc-1'")
    bench = Bench()
    async with member(own, bench) as worker:
        await worker.drain()
    assert await bench.content("doc-1") == "Behind the poison."
    kept = messages(own, f"{own.prefix}.dead-letters")
    assert [(each.key(), each.value()) for each in kept] == [(key, value) for key, value, _ in POISON]
    for offset, (message, (_, _, cause)) in enumerate(zip(kept, POISON, strict=True), start=1):
        headers = headers_of(message)
        assert cause in headers["rtrag.cause"]
        assert int(headers["rtrag.attempts"]) == 1
        origin = [headers[f"rtrag.origin.{name}"] for name in ("topic", "partition", "offset")]
        assert origin == [topic(own), "0", str(offset)]
        assert headers["trace"] == "of who wrote it"


async def test_what_was_kept_and_confirmed_is_not_kept_again(own: Way) -> None:
    before = len(messages(own, f"{own.prefix}.dead-letters"))
    async with member(own) as worker:
        await worker.drain()
    assert len(messages(own, f"{own.prefix}.dead-letters")) == before

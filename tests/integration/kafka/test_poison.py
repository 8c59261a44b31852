"""Unreadable records in a topic of a real Kafka: whatever their size, and whatever became of the topic."""

import logging
from uuid import uuid4

import pytest

from integration.kafka.broker import Broker
from rtrag.adapters.kafka.messages import record_of
from rtrag.adapters.kafka.poison import PoisonTopic
from rtrag.adapters.kafka.records import RawRecord
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError

RECORD = RawRecord(
    topic="rag.1.public.documents",
    partition=3,
    offset=77,
    key=b"\xff",
    value=b"\x00 no JSON",
    headers=(("trace", b"1"), ("trace", b"2")),
    timestamp_ms=1_700_000_000_123,
)


@pytest.fixture
def poison(kafka: str) -> PoisonTopic:
    return PoisonTopic(kafka, {}, f"poison-{uuid4().hex[:12]}.1", seconds=5)


async def test_a_record_is_kept_as_it_came_with_its_cause_and_its_origin(
    poison: PoisonTopic, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await poison.keep(RECORD, "not JSON: half a pair \ud800")
    (kept,) = broker.records(poison.topic)
    assert (kept.key(), kept.value()) == (RECORD.key, RECORD.value)
    assert record_of(kept).headers == (
        ("rtrag.cause", b"not JSON: half a pair \\ud800"),
        ("rtrag.attempts", b"1"),
        ("rtrag.origin.topic", b"rag.1.public.documents"),
        ("rtrag.origin.partition", b"3"),
        ("rtrag.origin.offset", b"77"),
        ("rtrag.origin.timestamp-ms", b"1700000000123"),
        ("trace", b"1"),
        ("trace", b"2"),
    )
    assert poison.kept == 1
    assert "poison_record topic='rag.1.public.documents' partition=3 offset=77" in caplog.text


async def test_records_stay_until_somebody_removes_them(poison: PoisonTopic, broker: Broker) -> None:
    await poison.keep(RECORD, "not JSON")
    assert broker.settings(poison.topic)["retention.ms"] == "-1"


async def test_a_large_record_is_kept_whole_and_one_that_the_topic_does_not_take_without_its_value(
    poison: PoisonTopic, broker: Broker
) -> None:
    large = b"x" * 30_000_000
    await poison.keep(RawRecord(topic="t", partition=0, offset=1, key=b"k", value=large), "not JSON")
    too_large = b"x" * 33_554_432
    await poison.keep(RawRecord(topic="t", partition=0, offset=2, key=b"k", value=too_large), "not JSON")
    first, second = broker.records(poison.topic)
    assert first.value() == large
    assert (second.key(), second.value()) == (b"k", None)
    headers = dict(record_of(second).headers)
    assert b"33554432 bytes" in headers["rtrag.left-out"]
    assert headers["rtrag.origin.offset"] == b"2"


async def test_a_topic_that_was_removed_is_made_again_when_the_record_is_tried_again(
    poison: PoisonTopic, broker: Broker
) -> None:
    await poison.keep(RECORD, "not JSON")
    broker.delete_topic(poison.topic)
    with pytest.raises(ServiceUnavailableError, match=r"unreadable record of rag.1.public.documents\[3\] at 77"):
        await poison.keep(RECORD, "not JSON")
    await poison.keep(RECORD, "not JSON")
    assert len(broker.records(poison.topic)) == 1


async def test_options_that_do_not_fit_are_a_configuration_error(kafka: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.option"):
        await PoisonTopic(kafka, {"no.such.option": 1}, "poison.1").keep(RECORD, "not JSON")

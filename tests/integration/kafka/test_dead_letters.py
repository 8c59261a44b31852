"""Dead letters in a topic of a real Kafka: the contract, several keepers, a broker that goes away."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from contract.dead_letters_contract import KEYS, NOON, DeadLettersContract, letter
from integration.kafka.broker import Broker
from rtrag.adapters.kafka.letter_records import LetterRecord, encode, record_key
from rtrag.adapters.kafka.letters import KafkaDeadLetters, open_kafka_dead_letters
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter


@pytest.fixture
def prefix() -> str:
    """A topic of its own for each test."""
    return f"letters-{uuid4().hex[:12]}.1"


async def until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline, f"not so within a minute: {what}"
        await asyncio.sleep(0.01)


async def until_same(first: KafkaDeadLetters, second: KafkaDeadLetters) -> None:
    """Until both have read the same records."""
    await until(lambda: first._follower.end == second._follower.end, "both keepers have read the same")


class TestKafkaDeadLetters(DeadLettersContract):
    @pytest.fixture
    async def letters(self, kafka: str, prefix: str) -> AsyncIterator[KafkaDeadLetters]:
        async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
            yield letters


async def test_the_topic_is_made_compacted_with_room_for_whole_documents(
    kafka: str, prefix: str, broker: Broker
) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        assert letters.topic == f"{prefix}.open-letters"
        settings = broker.settings(letters.topic)
    assert settings["cleanup.policy"] == "compact"
    assert int(settings["max.message.bytes"]) == 33_554_432
    assert int(settings["delete.retention.ms"]) == timedelta(days=7) / timedelta(milliseconds=1)


async def test_letters_survive_reopening(kafka: str, prefix: str) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        for key in KEYS:
            await letters.put(letter(key))
        await letters.close(KEYS[0])
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        assert list(await letters.list()) == [letter(key) for key in sorted(KEYS[1:])]


async def test_many_letters_can_be_put_at_once(kafka: str, prefix: str) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        await asyncio.gather(*(letters.put(letter(key, lsn=lsn)) for key in KEYS for lsn in range(5)))
        assert await letters.count() == len(KEYS)
        assert {(kept.attempts, kept.position.lsn) for kept in await letters.list()} == {(10, 4)}


async def test_a_letter_put_again_after_a_crash_is_one_letter(kafka: str, prefix: str) -> None:
    for _ in range(2):
        async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
            await letters.put(letter(KEYS[0]))
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        assert list(await letters.list()) == [replace(letter(KEYS[0]), attempts=4)]


async def test_a_newer_letter_stands_for_the_older_ones_which_are_closed(
    kafka: str, prefix: str, broker: Broker
) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        for lsn in (1, 2, 3):
            await letters.put(letter(KEYS[0], lsn=lsn))
        last_of_key = {record.key(): record.value() for record in broker.records(letters.topic)}
    assert sum(value is not None for value in last_of_key.values()) == 1
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        assert await letters.get(KEYS[0]) == replace(letter(KEYS[0], lsn=3), attempts=6, first_failed=NOON)


async def test_two_keepers_see_each_other_s_letters(kafka: str, prefix: str) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as one, open_kafka_dead_letters(kafka, {}, prefix) as other:
        await one.put(letter(KEYS[0]))
        await other.put(letter(KEYS[1]))
        await until_same(one, other)
        assert list(await one.list()) == list(await other.list()) == [letter(KEYS[0]), letter(KEYS[1])]
        assert await other.close(KEYS[0])
        await until_same(one, other)
        assert await one.open_keys(KEYS) == {KEYS[1]}


async def test_attempts_of_two_workers_at_one_document_add_up(kafka: str, prefix: str) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as one, open_kafka_dead_letters(kafka, {}, prefix) as other:
        await asyncio.gather(one.put(letter(KEYS[0], lsn=5)), other.put(letter(KEYS[0], lsn=6)))
        await until_same(one, other)
        assert await one.get(KEYS[0]) == await other.get(KEYS[0])
        assert await one.get(KEYS[0]) == replace(letter(KEYS[0], lsn=6), attempts=4)


async def test_a_newer_letter_put_by_one_while_another_closes_the_older_stays_open(kafka: str, prefix: str) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as one, open_kafka_dead_letters(kafka, {}, prefix) as other:
        for number in range(1, 20):
            older, newer = 2 * number, 2 * number + 1
            await one.put(letter(KEYS[0], lsn=older))
            await until_same(one, other)
            await asyncio.gather(
                one.put(letter(KEYS[0], lsn=newer)), other.close(KEYS[0], at_or_below=Position(1, older, 0))
            )
            await until_same(one, other)
            for keeper in (one, other):
                kept = await keeper.get(KEYS[0])
                assert kept is not None
                assert kept.position == Position(1, newer, 0)
            await one.close(KEYS[0])
            await until_same(one, other)


async def test_a_letter_that_was_left_over_does_not_take_a_newer_one_with_it(kafka: str, prefix: str) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        await letters.put(replace(letter(KEYS[0]), position=Position(7, 5, 0)))
        await letters.put(letter(KEYS[0], lsn=9))
        assert not await letters.close(KEYS[0], at_or_below=Position(1, 4, 0))
        kept = await letters.get(KEYS[0])
        assert kept is not None
        assert kept.position == Position(1, 9, 0)


async def test_while_the_broker_is_away_writes_raise_and_reads_go_on_and_then_all_goes_on(
    kafka: str, prefix: str, broker: Broker
) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix, patience=3) as letters:
        await letters.put(letter(KEYS[0]))
        broker.stop()
        try:
            with pytest.raises(ServiceUnavailableError, match=letters.topic):
                await letters.put(letter(KEYS[1]))
            with pytest.raises(ServiceUnavailableError, match=letters.topic):
                await letters.close(KEYS[0])
            assert list(await letters.list()) == [letter(KEYS[0])]
            assert await letters.open_keys(KEYS) == {KEYS[0]}
        finally:
            broker.start()
        await retried(letters, letter(KEYS[2]))
        assert KEYS[2] in await letters.open_keys(KEYS)
        async with open_kafka_dead_letters(kafka, {}, prefix) as other:
            assert await other.list() == await letters.list()


async def retried(letters: KafkaDeadLetters, kept: DeadLetter) -> None:
    """Put a letter as the ingest loop does: again until it is kept."""
    deadline = time.monotonic() + 60
    while True:
        try:
            await letters.put(kept)
        except ServiceUnavailableError:
            assert time.monotonic() < deadline, "no letter is kept although the broker is back"
        else:
            return


async def test_a_keeper_closes_while_the_broker_does_not_answer(kafka: str, prefix: str, broker: Broker) -> None:
    try:
        async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
            broker.freeze()
            waiting = asyncio.create_task(letters.put(letter(KEYS[0])))
            await asyncio.sleep(0)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("kafka")]
        with pytest.raises(ServiceUnavailableError):
            await waiting
        with pytest.raises(ServiceUnavailableError):
            await letters.put(letter(KEYS[0]))
    finally:
        broker.thaw()


async def test_a_producer_that_takes_nothing_any_more_is_replaced(kafka: str, prefix: str) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        spent = letters._producer._producer
        letters._producer._spent.set()
        await until(lambda: letters._producer._producer is not spent, "there is another producer")
        await letters.put(letter(KEYS[0]))
        assert await letters.count() == 1


async def test_without_a_broker_opening_says_so(prefix: str) -> None:
    with pytest.raises(ServiceUnavailableError, match=f"does not answer for the topic {prefix}"):
        async with open_kafka_dead_letters("127.0.0.1:1", {}, prefix, patience=0.5):
            pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no.such.option": 1}, "no.such.option"),
        (
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "a",
                "sasl.password": "b",
            },
            "does not let this client",
        ),
    ],
)
async def test_options_that_do_not_fit_are_a_configuration_error(
    kafka: str, prefix: str, options: dict[str, str | int | float | bool], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with open_kafka_dead_letters(kafka, options, prefix, patience=1):
            pass


async def test_a_prefix_that_cannot_be_a_topic_s_is_a_configuration_error(kafka: str) -> None:
    with pytest.raises(ConfigurationError, match="does not make the topic no topic"):
        async with open_kafka_dead_letters(kafka, {}, "no topic"):
            pass


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
async def test_a_topic_that_forgets_is_refused(kafka: str, prefix: str, broker: Broker, policy: str) -> None:
    broker.make_topic(f"{prefix}.open-letters", cleanup_policy=policy)
    with pytest.raises(ConfigurationError, match=f"cleanup.policy={policy}.*kafka-configs --alter"):
        async with open_kafka_dead_letters(kafka, {}, prefix):
            pass


async def test_a_topic_that_is_removed_underneath_is_an_error_for_reads_and_writes(
    kafka: str, prefix: str, broker: Broker
) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        await letters.put(letter(KEYS[0]))
        broker.delete_topic(letters.topic)
        with pytest.raises(ConfigurationError, match=f"{letters.topic} was removed.*verify --repair"):
            await letters.put(letter(KEYS[1]))
        with pytest.raises(ConfigurationError, match="was removed"):
            await letters.list()


async def test_a_topic_that_is_made_again_underneath_is_noticed_without_a_write(
    kafka: str, prefix: str, broker: Broker
) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        for lsn in range(3):
            await letters.put(letter(KEYS[0], lsn=lsn))
        broker.delete_topic(letters.topic)
        broker.make_topic(letters.topic, cleanup_policy="compact")
        await until(lambda: letters._follower.failure is not None, "the keeper has noticed")
        with pytest.raises(ConfigurationError, match="made again"):
            await letters.count()


async def test_records_of_others_are_counted_and_do_no_harm(
    kafka: str, prefix: str, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = f"{prefix}.open-letters"
    broker.make_topic(topic, cleanup_policy="compact")
    for key, value in ((b"\xff", b"x"), (b"public.a/1 1:0/1:0", b"[]"), (b"public.a/1", b"{}"), (b"x y z", None)):
        broker.write(topic, key, value)
    with caplog.at_level(logging.WARNING):
        async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
            assert letters.foreign == 4
            assert await letters.count() == 0
            await letters.put(letter(KEYS[0]))
            broker.write(topic, b"\xff", None)
            await letters.put(letter(KEYS[1]))
            assert letters.foreign == 5
            assert await letters.count() == 2
    assert "foreign_record" in caplog.text


async def test_a_letter_as_large_as_the_topic_takes_is_kept_whole_and_a_larger_one_without_its_payload(
    kafka: str, prefix: str
) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        empty = LetterRecord(letter=replace(letter(KEYS[1]), payload={"content": ""}), counts_below=0)
        room = letters._room(record_key(KEYS[1], empty.letter.position)) - len(encode(empty, 1_000_000))
        fits = replace(letter(KEYS[1]), payload={"content": "x" * room})
        await letters.put(fits)
        assert await letters.get(KEYS[1]) == fits
        await letters.put(replace(fits, key=KEYS[2], payload={"content": "x" * (room + 1_000)}))
        kept = await letters.get(KEYS[2])
        assert kept is not None
        assert "too large to keep" in str(kept.payload["note"])
        assert replace(kept, payload={}) == replace(letter(KEYS[2]), payload={})


async def test_a_topic_that_takes_less_than_before_gets_the_letter_without_its_payload(
    kafka: str, prefix: str, broker: Broker
) -> None:
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        broker.alter_topic(letters.topic, max_message_bytes="50000")
        await letters.put(replace(letter(KEYS[0]), payload={"content": "x" * 100_000}))
        kept = await letters.get(KEYS[0])
        assert kept is not None
        assert list(kept.payload) == ["note"]


async def test_what_compaction_has_removed_is_not_missed(kafka: str, prefix: str, broker: Broker) -> None:
    topic = f"{prefix}.open-letters"
    broker.make_topic(
        topic, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01", delete_retention_ms="0"
    )
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        for lsn in range(6):
            await letters.put(letter(KEYS[0], lsn=lsn))
            await letters.put(letter(KEYS[1], lsn=lsn))
            await letters.close(KEYS[1])
            await asyncio.sleep(0.15)  # another segment begins: the last one is never compacted
        written = letters._follower.end
        await until(lambda: len(broker.records(topic)) < written, "the topic is compacted")
        expected = await letters.list()
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        assert await letters.list() == expected
        await letters.put(letter(KEYS[2]))
        assert await letters.count() == 2


async def test_ten_thousand_letters_are_read_at_opening(kafka: str, prefix: str) -> None:
    keys = [DocumentKey("public.many", (f"{number:05d}",)) for number in range(10_000)]
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        await asyncio.gather(*(letters.put(letter(key)) for key in keys))
    async with open_kafka_dead_letters(kafka, {}, prefix) as letters:
        assert await letters.count() == 10_000
        assert [found.key for found in await letters.list(limit=3, after=keys[4_998])] == keys[4_999:5_002]

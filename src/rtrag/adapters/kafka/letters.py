"""Dead letters in a compacted topic: many processes write and read the same open letters.

Every process follows the whole topic and answers from memory. A write returns once Kafka has it for good and this
process has read it back. See docs/adr/0008-dead-letters-in-kafka.md.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from weakref import WeakValueDictionary

from confluent_kafka import KafkaError, KafkaException

from rtrag.adapters.kafka.errors import REFUSED, error_of, made_anew, refused
from rtrag.adapters.kafka.follower import TopicFollower
from rtrag.adapters.kafka.letter_records import Entry, Foreign, LetterEntry, decode, encode, record_key
from rtrag.adapters.kafka.letter_topic import LetterTopic
from rtrag.adapters.kafka.letter_view import LetterView
from rtrag.adapters.kafka.producer import DurableProducer
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter

SUFFIX: Final = "open-letters"
PATIENCE_SECONDS: Final = 10.0
LARGEST_BYTES: Final = 50_000_000
_FRAMING: Final = 200  # bytes: what a batch has beside key and value of its only record
_SMALL: Final = 20_000  # bytes: any letter without its payload
_WATCH_SECONDS: Final = 5.0  # less than a write waits, so that one that waits in vain can say why
_log = logging.getLogger(__name__)


class KafkaDeadLetters:
    """Port DeadLetters. Reads are from memory, also while Kafka is away; writes raise ServiceUnavailableError then.

    Once the topic is gone everything raises ConfigurationError.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        options: Mapping[str, str | int | float | bool],
        topic: str,
        *,
        largest: int,
        patience: float,
    ) -> None:
        self.topic = topic
        self.foreign = 0
        """How many records of the topic are no letters."""
        self.trouble: str | None = None
        """See the port."""
        self._largest = min(largest, LARGEST_BYTES)
        self._patience = patience
        self._view = LetterView()
        self._locks: WeakValueDictionary[DocumentKey, asyncio.Lock] = WeakValueDictionary()
        self._follower = TopicFollower(bootstrap_servers, options, topic, decode, self._receive)
        self._producer = DurableProducer(bootstrap_servers, options, seconds=patience, largest=self._largest)

    async def open(self, end: int) -> None:
        """Return once everything before the offset ``end`` is read."""
        self._producer.start()
        self._follower.start()
        await self._follower.reached(end, self._patience)

    async def close_down(self) -> None:
        """Stop the threads."""
        await self._producer.close()
        await self._follower.close()

    async def put(self, letter: DeadLetter) -> None:
        """See the port. When it raises, the letter may be kept all the same: put again, its attempts count again."""
        async with self._lock(letter.key):
            replacement = self._seen().replacement(letter)
            key = record_key(letter.key, letter.position)
            try:
                await self._write(key, encode(replacement.record, self._room(key)))
            except RecordTooLargeError:  # the topic takes less than it did when we asked
                await self._write(key, encode(replacement.record, _SMALL))
            # Only now: a record that is not kept stands for nothing. What stays open here goes with the next letter.
            with suppress(ServiceUnavailableError):
                for position in replacement.positions:
                    await self._send(record_key(letter.key, position), None)

    async def get(self, key: DocumentKey) -> DeadLetter | None:
        """The open letter of a document, None if there is none."""
        return self._seen().get(key)

    async def open_keys(self, keys: Sequence[DocumentKey]) -> frozenset[DocumentKey]:
        """Which of these documents have an open letter."""
        view = self._seen()
        return frozenset(key for key in keys if key in view) if len(view) else frozenset()

    async def list(self, *, limit: int = 100, after: DocumentKey | None = None) -> Sequence[DeadLetter]:
        """Open letters in key order."""
        return self._seen().page(limit, after)

    async def close(self, key: DocumentKey, *, at_or_below: Position | None = None) -> bool:
        """See the port. Only what this process has seen is closed: a letter that another is about to put stays."""
        async with self._lock(key):
            closing = self._seen().closing(key, at_or_below)
            for position in closing.positions:
                await self._write(record_key(key, position), None)
            return closing.complete

    async def count(self) -> int:
        """How many are open."""
        return len(self._seen())

    async def watch(self, topic: LetterTopic, identity: str) -> None:
        """Look whether the topic is still there, which reading it does not tell, until cancelled."""
        while self._follower.failure is None:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                await topic.check(identity)
            except ServiceUnavailableError as error:
                self.trouble = f"Dead letters of other processes may be missing: {error}"
                continue
            except ConfigurationError as error:
                self._follower.fail(error)
            self.trouble = None

    def _seen(self) -> LetterView:
        if self._follower.failure is not None:
            raise self._follower.failure
        return self._view

    def _lock(self, key: DocumentKey) -> asyncio.Lock:
        """One write of a document at a time: each begins with what the one before has left."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    def _room(self, key: bytes) -> int:
        """Bytes for a value."""
        return self._largest - len(key) - _FRAMING

    async def _write(self, key: bytes, value: bytes | None) -> None:
        """Return once the record is kept and read back."""
        before = self._follower.end
        offset = await self._send(key, value)
        if offset < before:
            self._follower.fail(made_anew(self.topic))
        await self._follower.reached(offset + 1, self._patience)

    async def _send(self, key: bytes, value: bytes | None) -> int:
        try:
            return await self._producer.send(self.topic, key, value)
        except KafkaException as exc:
            error = error_of(exc)
            if self._follower.failure is not None:
                raise self._follower.failure from exc
            if error.code() in REFUSED:
                raise refused(self.topic, error) from exc
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise RecordTooLargeError(f"Kafka takes no record of this size in {self.topic}") from exc
            raise ServiceUnavailableError(f"Kafka did not keep a record of {self.topic}: {error.str()}") from exc

    def _receive(self, entries: Sequence[LetterEntry]) -> None:
        self._view.apply(entry for entry in entries if isinstance(entry, Entry))
        for entry in entries:
            if isinstance(entry, Foreign):
                self.foreign += 1
                if self.foreign & (self.foreign - 1) == 0:  # the first, the second, the fourth...
                    _log.warning(
                        "foreign_record topic=%r offset=%d cause=%r so_far=%d",
                        self.topic, entry.offset, entry.cause, self.foreign,
                    )  # fmt: skip


class RecordTooLargeError(ServiceUnavailableError):
    """Kafka takes no record of this size."""


@asynccontextmanager
async def open_kafka_dead_letters(
    bootstrap_servers: str,
    options: Mapping[str, str | int | float | bool],
    topic_prefix: str,
    *,
    patience: float = PATIENCE_SECONDS,
) -> AsyncIterator[KafkaDeadLetters]:
    """The letters in the topic ``PREFIX.open-letters``, which is made if it is missing, read up to its end.

    ``patience`` is how many seconds to wait for Kafka: for its answer, for the next record while reading, for a
    write. Raises ConfigurationError if the topic cannot be used, ServiceUnavailableError if Kafka does not answer.
    """
    topic = LetterTopic(bootstrap_servers, options, f"{topic_prefix}.{SUFFIX}")
    facts = await topic.prepare(patience)
    letters = KafkaDeadLetters(bootstrap_servers, options, topic.name, largest=facts.largest, patience=patience)
    watching = asyncio.create_task(letters.watch(topic, facts.identity), name="topic of letters watched")
    try:
        await letters.open(facts.end)
        yield letters
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await letters.close_down()

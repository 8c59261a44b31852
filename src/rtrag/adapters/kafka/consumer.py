"""A member of a consumer group: a thread that polls, records that wait in bounded room, offsets told by hand.

librdkafka wants to be polled, whatever the application does: a member that is silent for minutes loses its
partitions. So the thread polls always, and pauses its partitions while there is no room. A call from another thread
waits for as long as somebody polls, so whatever else is asked of the consumer is done by the thread between two polls.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from rtrag.adapters.kafka.clients import Complaints, made
from rtrag.adapters.kafka.errors import MISSING_TOPIC, NOT_OURS, error_of, failure_of, removed
from rtrag.adapters.kafka.messages import record_of
from rtrag.adapters.kafka.progress import Offsets, Partition
from rtrag.adapters.kafka.records import RawRecord
from rtrag.domain.errors import RtragError, ServiceUnavailableError
from rtrag.ports.changes import BatchLimits

ROOM_RECORDS: Final = 2_000
ROOM_BYTES: Final = 16_000_000
POLL_SECONDS: Final = 0.1
REQUEST_SECONDS: Final = 10.0
_AT_ONCE: Final = 500
_DEFAULTS: Final[Mapping[str, int]] = {
    "session.timeout.ms": 10_000,  # so long nobody reads the partitions of a member that was killed
    "topic.metadata.refresh.interval.ms": 5_000,  # how soon a topic is found that was made meanwhile
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 20,
    "queued.max.messages.kbytes": 32_768,
}
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """Whom to ask for what. ``options`` are librdkafka's own, for security and tuning."""

    bootstrap_servers: str
    group: str
    topics: tuple[str, ...]
    options: Mapping[str, str | int | float | bool]


class GroupConsumer:
    """Begun by ``start`` and ended by ``close``. ``on_revoked`` gives the offsets to tell before partitions leave."""

    def __init__(self, settings: ConsumerSettings, on_revoked: Callable[[Sequence[Partition]], Offsets]) -> None:
        self._settings = settings
        self._on_revoked = on_revoked
        self._loop = asyncio.get_running_loop()
        self._consumer = _made(settings)
        self._lock = threading.Lock()
        self._waiting: deque[RawRecord] = deque()
        self._bytes = 0
        self._assigned: dict[Partition, int] = {}  # and the offset where reading began
        self._paused = False
        self._closing = threading.Event()
        self._arrived = asyncio.Event()
        self._failure: RtragError | None = None
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kafka consumer", daemon=True)

    def start(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            list(self._settings.topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )
        self._thread.start()

    async def close(self) -> None:
        """Leave the group, telling the offsets that are durable."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    @property
    def assigned(self) -> Mapping[Partition, int]:
        """The partitions of this member, each with the offset where reading began."""
        with self._lock:
            return dict(self._assigned)

    async def wait(self) -> None:
        """Return when records wait, or ``wake`` was called. Raises what ended the polling."""
        await self._arrived.wait()
        self._arrived.clear()
        if self._failure is not None and not self._waiting:
            raise self._failure

    def wake(self) -> None:
        """Let ``wait`` return."""
        self._arrived.set()

    def take(self, limits: BatchLimits) -> list[RawRecord]:
        """The records that wait, within the limits, at least one if there is one."""
        taken: list[RawRecord] = []
        size = 0
        with self._lock:
            while self._waiting and len(taken) < limits.events and (not taken or size < limits.bytes):
                record = self._waiting.popleft()
                taken.append(record)
                size += record.size
            self._bytes -= size
            if self._waiting or self._failure is not None:
                self._arrived.set()
        return taken

    async def commit(self, offsets: Offsets) -> bool:
        """Tell the group; False where it did not take them because it is dividing its partitions anew: tell them again.

        Partitions that others own now are passed over. Raises ServiceUnavailableError.
        """
        owned = self.assigned
        mine = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()
                if (topic, number) in owned]  # fmt: skip
        if not mine:
            return True
        try:
            await self._between_polls(lambda: self._consumer.commit(offsets=mine, asynchronous=False))
        except KafkaException as exc:
            if error_of(exc).code() in NOT_OURS:
                return False
            raise ServiceUnavailableError(f"Kafka did not take the offsets: {error_of(exc).str()}") from exc
        return True

    async def told(self, partitions: Sequence[Partition]) -> Offsets:
        """What the group has told of partitions, whoever reads them; 0 where nothing."""
        wanted = [TopicPartition(topic, number) for topic, number in partitions]
        try:
            found = await self._between_polls(lambda: self._consumer.committed(wanted, timeout=REQUEST_SECONDS))
        except KafkaException as exc:
            raise ServiceUnavailableError(f"Kafka did not tell the group's offsets: {error_of(exc).str()}") from exc
        return {(each.topic, each.partition): max(each.offset, 0) for each in found}

    async def _between_polls(self, call: Callable[[], _T]) -> _T:
        asked: Future[_T] = Future()
        self._asked.put(lambda: _answer(asked, call))
        if self._closing.is_set():
            raise self._failure or ServiceUnavailableError("The connection to Kafka is closed.")
        return await asyncio.wrap_future(asked)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                first = self._consumer.poll(POLL_SECONDS)
                if first is not None:
                    self._deliver([first, *self._consumer.consume(_AT_ONCE, 0)])
                self._make_room()
                while not self._asked.empty():
                    self._asked.get()()
        except (KafkaException, RtragError) as exc:
            self.fail(exc if isinstance(exc, RtragError) else failure_of(error_of(exc)))
        finally:
            self._consumer.close()
            while not self._asked.empty():
                self._asked.get()()  # fails, for the consumer is closed: whoever asked is told

    def _deliver(self, messages: Sequence[Message]) -> None:
        records = [record_of(message) for message in messages if not self._is_error(message)]
        with self._lock:
            kept = [record for record in records if (record.topic, record.partition) in self._assigned]
            self._waiting.extend(kept)
            self._bytes += sum(record.size for record in kept)
        if kept:
            self._loop.call_soon_threadsafe(self._arrived.set)

    def _make_room(self) -> None:
        """Pause while too much waits, so that nothing more is fetched than there is room for."""
        with self._lock:
            full = len(self._waiting) >= ROOM_RECORDS or self._bytes >= ROOM_BYTES
            empty = len(self._waiting) < ROOM_RECORDS // 2 and self._bytes < ROOM_BYTES // 2
        if full and not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        elif empty and self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() in MISSING_TOPIC:  # it is made with the first row; other tables go on meanwhile
            _log.info("no_topic_yet topic=%r", message.topic() or error.str())
            return True
        raise failure_of(error, message)

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Read on where the group stands; what was never read from its beginning, if that is still there."""
        for known in consumer.committed(partitions, timeout=REQUEST_SECONDS):
            place = next(each for each in partitions if (each.topic, each.partition) == (known.topic, known.partition))
            low, _ = consumer.get_watermark_offsets(place, timeout=REQUEST_SECONDS)
            if known.offset < 0 < low or 0 <= known.offset < low:
                self.fail(removed(place, low))
            place.offset = known.offset if known.offset >= 0 else OFFSET_BEGINNING
            with self._lock:
                self._assigned[place.topic, place.partition] = max(known.offset, low, 0)
        consumer.incremental_assign(partitions)
        if self._paused:
            consumer.pause(partitions)

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = [(each.topic, each.partition) for each in partitions]
        offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in self._on_revoked(gone).items()]
        if offsets:
            try:
                consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as exc:  # the next owner reads again what this one has applied: harmless
                _log.warning("offsets_not_told partitions=%s error=%s", gone, error_of(exc).str())
        self._forget(gone)
        consumer.incremental_unassign(partitions)

    def _lose(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = [(each.topic, each.partition) for each in partitions]
        self._on_revoked(gone)
        self._forget(gone)

    def _forget(self, gone: Sequence[Partition]) -> None:
        with self._lock:
            for partition in gone:
                self._assigned.pop(partition, None)
            self._waiting = deque(r for r in self._waiting if (r.topic, r.partition) in self._assigned)
            self._bytes = sum(record.size for record in self._waiting)
        self._loop.call_soon_threadsafe(self._arrived.set)

    def fail(self, error: RtragError) -> None:
        """Stop polling for a reason; ``wait`` raises it. Called by any thread."""
        self._failure = error
        self._closing.set()
        self._loop.call_soon_threadsafe(self._arrived.set)


def _answer(asked: "Future[_T]", call: Callable[[], _T]) -> None:
    if not asked.set_running_or_notify_cancel():
        return
    try:
        asked.set_result(call())
    except KafkaException as exc:
        asked.set_exception(exc)
    except RuntimeError as exc:  # the consumer was closed meanwhile
        asked.set_exception(ServiceUnavailableError(f"The connection to Kafka is closed: {exc}"))


def _made(settings: ConsumerSettings) -> Consumer:
    own = {
        "group.id": settings.group,
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # where nothing was told, reading begins at the beginning: see _assign
        "allow.auto.create.topics": False,
    }
    options = {**_DEFAULTS, **settings.options}
    return made(Consumer, settings.bootstrap_servers, options, own, Complaints("the consumer"))

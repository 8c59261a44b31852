"""Reading a topic whole and going on: a thread that polls, records that arrive in the event loop.

No group, no offsets: each process reads partition 0 from its beginning, and knows when it has come to the end.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtrag.adapters.kafka.clients import Complaints, made
from rtrag.adapters.kafka.errors import REFUSED, error_of, made_anew, refused
from rtrag.adapters.kafka.messages import record_of
from rtrag.adapters.kafka.records import RawRecord
from rtrag.domain.errors import ConfigurationError, RtragError, ServiceUnavailableError

_POLL_SECONDS: Final = 0.1
_AT_ONCE: Final = 500
_T = TypeVar("_T")


class TopicFollower(Generic[_T]):
    """Begun by ``start`` and ended by ``close``.

    ``convert`` reads a record, in the thread; ``receive`` gets what was read in order, in the event loop.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        options: Mapping[str, str | int | float | bool],
        topic: str,
        convert: Callable[[RawRecord], _T],
        receive: Callable[[Sequence[_T]], None],
    ) -> None:
        self._topic = topic
        self._convert = convert
        self._receive = receive
        self._complaints = Complaints(topic)
        self._consumer: Consumer = made(Consumer, bootstrap_servers, options, _own(topic), self._complaints)
        self._loop = asyncio.get_running_loop()
        self._moved = asyncio.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kafka {topic}", daemon=True)
        self.end = 0
        """The offset below which every record has been received."""
        self.failure: RtragError | None = None
        """What ended the reading."""

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    async def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    def fail(self, failure: RtragError) -> None:
        """Stop reading for a reason."""
        self._closing.set()
        self.failure = self.failure or failure
        self._wake()

    async def reached(self, offset: int, patience: float) -> None:
        """Return once every record below this offset has been received.

        Raises what ended the reading, and ServiceUnavailableError if nothing comes for ``patience`` seconds.
        """
        while self.end < offset:
            if self.failure is not None:
                raise self.failure
            moved = self._moved
            try:
                async with asyncio.timeout(patience):
                    await moved.wait()
            except TimeoutError as exc:
                raise ServiceUnavailableError(
                    f"Kafka brings nothing of {self._topic}: it was read up to {self.end} of {offset}, then nothing "
                    f"came for {patience:.0f} s."
                ) from exc

    def _run(self) -> None:
        failure: RtragError = ServiceUnavailableError(f"Reading {self._topic} has ended; start this process again.")
        try:
            self._consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
            while not self._closing.is_set():
                first = self._consumer.poll(_POLL_SECONDS)
                if first is not None:
                    self._deliver([first, *self._consumer.consume(_AT_ONCE, 0)])
        except KafkaException as exc:
            failure = ServiceUnavailableError(f"Reading {self._topic} has ended: {error_of(exc).str()}")
        except ConfigurationError as exc:
            failure = exc
        finally:
            if not self._closing.is_set():
                self._loop.call_soon_threadsafe(self.fail, failure)
            self._consumer.close()

    def _deliver(self, messages: Sequence[Message]) -> None:
        read: list[_T] = []
        end = 0
        for message in messages:
            error = message.error()
            if error is None:
                read.append(self._convert(record_of(message)))
                end = (message.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes have such names
                end = message.offset() or 0  # behind records that compaction has removed
            else:
                self._judge(error)
        self._loop.call_soon_threadsafe(self._take, read, end)

    def _judge(self, error: KafkaError) -> None:
        """Most errors pass, and the library goes on by itself. Raises ConfigurationError for what does not."""
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - as above
            raise made_anew(self._topic)
        if error.code() in REFUSED and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # we need no group
            raise refused(self._topic, error)
        self._complaints(error)

    def _take(self, read: Sequence[_T], end: int) -> None:
        self._receive(read)
        self.end = max(self.end, end)
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _own(topic: str) -> Mapping[str, Any]:
    return {
        "group.id": f"{topic}.view",  # the library asks for a name; no group is joined and nothing is committed
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "queued.max.messages.kbytes": 32_768,
        "fetch.queue.backoff.ms": 20,
    }

"""Records that are kept for good: acknowledged by all replicas in sync. A thread polls for the acknowledgements."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from rtrag.adapters.kafka.clients import Complaints, made
from rtrag.adapters.kafka.errors import error_of

_POLL_SECONDS: Final = 0.1
_FAREWELL_SECONDS: Final = 1.0
_FRAMING: Final = 100_000  # bytes: what a request has beside a record of the largest size


class DurableProducer:
    """Begun by ``start`` and ended by ``close``.

    ``seconds`` is how long a record may take; ``largest`` are the bytes that a record may have.
    """

    def __init__(
        self, bootstrap_servers: str, options: Mapping[str, str | int | float | bool], *, seconds: float, largest: int
    ) -> None:
        self._servers = bootstrap_servers
        self._options = options
        self._own = {
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "message.timeout.ms": int(seconds * 1000),
            "message.max.bytes": largest + _FRAMING,
        }
        self._loop = asyncio.get_running_loop()
        self._producer = self._made()
        self._spent = threading.Event()  # after some errors a producer takes nothing any more
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka producer", daemon=True)

    def start(self) -> None:
        """Begin to listen for acknowledgements."""
        self._thread.start()

    async def close(self) -> None:
        """Give up what is under way."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    async def send(self, topic: str, key: bytes, value: bytes | None) -> int:
        """The offset of the record in partition 0, once it is kept.

        Raises KafkaException. Then it is not known whether the record is kept, or will be.
        """
        if self._closing.is_set():
            raise KafkaException(KafkaError(KafkaError._DESTROY, "the connection is closed"))  # noqa: SLF001 - librdkafka's name
        kept: asyncio.Future[int] = self._loop.create_future()

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._loop.call_soon_threadsafe(_settle, kept, error, message.offset())

        try:
            self._producer.produce(topic, key=key, value=value, partition=0, on_delivery=delivered)
            return await kept
        except BufferError as exc:
            raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from exc  # noqa: SLF001 - as above
        except KafkaException as exc:
            if error_of(exc).fatal() or error_of(exc).code() == KafkaError._FATAL:  # noqa: SLF001 - as above
                self._spent.set()
            raise

    def _made(self) -> Producer:
        return made(Producer, self._servers, self._options, self._own, Complaints("producer"))

    def _run(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_SECONDS)
            if self._spent.is_set():
                self._spent.clear()
                spent, self._producer = self._producer, self._made()
                _give_up(spent)
        _give_up(self._producer)


def _give_up(producer: Producer) -> None:
    """Whoever waits for a record is told that it is not known to be kept."""
    producer.purge()
    producer.flush(_FAREWELL_SECONDS)


def _settle(kept: "asyncio.Future[int]", error: KafkaError | None, offset: int | None) -> None:
    if kept.done():
        return  # nobody waits any more
    if error is not None:
        kept.set_exception(KafkaException(error))
    else:
        kept.set_result(offset or 0)

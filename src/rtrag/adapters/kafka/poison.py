"""Records that cannot be read go to a topic of their own, as they came, with the cause and where they came from."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer, admin

from rtrag.adapters.kafka.clients import Complaints, made
from rtrag.adapters.kafka.errors import REFUSED, error_of, refused
from rtrag.adapters.kafka.records import RawRecord
from rtrag.domain.errors import ServiceUnavailableError

SUFFIX: Final = "dead-letters"
SETTINGS: Final[Mapping[str, str]] = {"retention.ms": "-1"}  # until somebody has looked and removes them
_ADMIN: Final[Any] = admin  # whose types leave out what it exports
_DELIVERY_SECONDS: Final = 30.0
_REQUEST_SECONDS: Final = 10.0
_LARGEST_BYTES: Final = 100_000_000  # the topic decides, not the library's default of a megabyte
_log = logging.getLogger(__name__)


class PoisonTopic:
    """Keeps records durably; made with the first one. ``topic`` is ``PREFIX.dead-letters``.

    ``seconds`` is how long a record may take; ``kept`` is how many this process has kept.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        options: Mapping[str, str | int | float | bool],
        topic_prefix: str,
        *,
        seconds: float = _DELIVERY_SECONDS,
    ) -> None:
        self.topic = f"{topic_prefix}.{SUFFIX}"
        self.kept = 0
        self._servers = bootstrap_servers
        self._options = options
        self._seconds = seconds
        self._producer: Producer | None = None

    async def keep(self, record: RawRecord, cause: str) -> None:
        """Return when the record is kept. Raises ServiceUnavailableError: then it must be tried again.

        Raises ConfigurationError if Kafka does not let us.
        """
        try:
            await asyncio.to_thread(self._keep, record, cause)
        except KafkaException as exc:
            self._producer = None  # begin anew: the topic may be gone
            error = error_of(exc)
            if error.code() in REFUSED:
                raise refused(self.topic, error) from exc
            raise ServiceUnavailableError(
                f"Kafka did not keep an unreadable record of {record.topic}[{record.partition}] at {record.offset} in "
                f"{self.topic}: {error.str()}"
            ) from exc
        self.kept += 1
        if self.kept & (self.kept - 1) == 0:  # the first, the second, the fourth...
            _log.error(
                "poison_record topic=%r partition=%d offset=%d cause=%r kept_in=%r so_far=%d",
                record.topic, record.partition, record.offset, cause, self.topic, self.kept,
            )  # fmt: skip

    def _keep(self, record: RawRecord, cause: str) -> None:
        headers = _headers(record, cause)
        try:
            self._send(record.key, record.value, headers)
        except KafkaException as exc:
            if error_of(exc).code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
            left_out = f"the value of {len(record.value or b'')} bytes: {self.topic} takes no record of that size"
            headers.insert(0, ("rtrag.left-out", left_out.encode()))
            self._send(record.key, None, headers)

    def _send(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, str | bytes | None]]) -> None:
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        producer = self._ready()
        producer.produce(self.topic, value=value, key=key, headers=list(headers), on_delivery=delivered)
        left = producer.flush(self._seconds)
        if failures or left:
            raise KafkaException(failures[0] if failures else KafkaError(KafkaError.REQUEST_TIMED_OUT))

    def _ready(self) -> Producer:
        if self._producer is None:
            self._make_topic()
            self._producer = self._made()
        return self._producer

    def _made(self) -> Producer:
        own = {
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": int(self._seconds * 1000),
            "message.max.bytes": _LARGEST_BYTES,
        }
        return made(Producer, self._servers, self._options, own, Complaints(self.topic))

    def _make_topic(self) -> None:
        client = made(_ADMIN.AdminClient, self._servers, self._options, {}, Complaints(self.topic))
        wanted = _ADMIN.NewTopic(self.topic, num_partitions=1, config=dict(SETTINGS))
        asked = client.create_topics([wanted], request_timeout=_REQUEST_SECONDS)
        try:
            asked[self.topic].result()
        except KafkaException as exc:
            if error_of(exc).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _headers(record: RawRecord, cause: str) -> list[tuple[str, str | bytes | None]]:
    """Ours before the record's own. One attempt: reading a record again gives the same."""
    own: list[tuple[str, str | bytes | None]] = [
        ("rtrag.cause", cause.encode("utf-8", "backslashreplace")),
        ("rtrag.attempts", b"1"),
        ("rtrag.origin.topic", record.topic.encode()),
        ("rtrag.origin.partition", str(record.partition).encode()),
        ("rtrag.origin.offset", str(record.offset).encode()),
        ("rtrag.origin.timestamp-ms", str(record.timestamp_ms).encode()),
    ]
    return [*own, *record.headers]

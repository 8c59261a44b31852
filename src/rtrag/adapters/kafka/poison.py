"""Records that cannot be read go to a topic of their own, as they came, with the cause and where they came from."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer, admin

from rtrag.adapters.kafka.errors import error_of
from rtrag.adapters.kafka.records import RawRecord
from rtrag.domain.errors import ServiceUnavailableError

SUFFIX: Final = "dead-letters"
_ADMIN: Final[Any] = admin  # whose types leave out what it exports
_DELIVERY_SECONDS: Final = 30
_REQUEST_SECONDS: Final = 10.0


class PoisonTopic:
    """Keeps records durably; made with the first one. ``topic`` is ``PREFIX.dead-letters``."""

    def __init__(
        self, bootstrap_servers: str, options: Mapping[str, str | int | float | bool], topic_prefix: str
    ) -> None:
        self._common = {**options, "bootstrap.servers": bootstrap_servers}
        self.topic = f"{topic_prefix}.{SUFFIX}"
        self._producer: Producer | None = None

    async def keep(self, record: RawRecord, cause: str) -> None:
        """Return when the record is kept. Raises ServiceUnavailableError: then it must be tried again."""
        try:
            await asyncio.to_thread(self._keep, record, cause)
        except KafkaException as exc:
            raise ServiceUnavailableError(
                f"Kafka did not keep an unreadable record of {record.topic}[{record.partition}] at {record.offset} in "
                f"{self.topic}: {error_of(exc).str()}"
            ) from exc

    def _keep(self, record: RawRecord, cause: str) -> None:
        if self._producer is None:
            self._make_topic()
            self._producer = Producer(
                {
                    **self._common,
                    "acks": "all",
                    "enable.idempotence": True,
                    "message.timeout.ms": _DELIVERY_SECONDS * 1000,
                }
            )
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        self._producer.produce(
            self.topic, value=record.value, key=record.key, headers=_headers(record, cause), on_delivery=delivered
        )
        left = self._producer.flush(_DELIVERY_SECONDS)
        if failures or left:
            raise KafkaException(failures[0] if failures else KafkaError(KafkaError.REQUEST_TIMED_OUT))

    def _make_topic(self) -> None:
        client = _ADMIN.AdminClient(dict(self._common))
        made = client.create_topics([_ADMIN.NewTopic(self.topic, num_partitions=1)], request_timeout=_REQUEST_SECONDS)
        try:
            made[self.topic].result()
        except KafkaException as exc:
            if error_of(exc).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _headers(record: RawRecord, cause: str) -> list[tuple[str, str | bytes | None]]:
    own: list[tuple[str, str | bytes | None]] = [
        ("rtrag.cause", cause.encode()),
        ("rtrag.attempts", b"1"),
        ("rtrag.origin.topic", record.topic.encode()),
        ("rtrag.origin.partition", str(record.partition).encode()),
        ("rtrag.origin.offset", str(record.offset).encode()),
    ]
    return [*own, *record.headers]

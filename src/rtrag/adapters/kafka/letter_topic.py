"""The topic of the open letters: made if it is missing, looked at before it is trusted with letters."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection, TopicPartition, admin

from rtrag.adapters.kafka.clients import Complaints, made
from rtrag.adapters.kafka.errors import MISSING_TOPIC, REFUSED, UNMAKEABLE, error_of, made_anew, refused
from rtrag.domain.errors import ConfigurationError, RtragError, ServiceUnavailableError

SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    # A process that was cut off from Kafka for longer than this would not learn of letters closed meanwhile.
    "delete.retention.ms": str(7 * 24 * 3600 * 1000),
}
_REQUEST_SECONDS: Final = 3.0
_REST_SECONDS: Final = 0.2
_ADMIN: Final[Any] = admin  # whose types leave out what it exports


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFacts:
    """What the broker says of the topic.

    Attributes:
        identity: its id; a topic that is removed and made again gets another one.
        largest: bytes of the largest record that it takes.
        end: offset of its next record.
    """

    identity: str
    largest: int
    end: int


class LetterTopic:
    """Asks over a connection of its own: on a consumer's, a request waits behind the fetch that waits for records."""

    def __init__(self, bootstrap_servers: str, options: Mapping[str, str | int | float | bool], name: str) -> None:
        self.name = name
        self._complaints = Complaints(name)
        self._admin = made(_ADMIN.AdminClient, bootstrap_servers, options, {}, self._complaints)

    async def prepare(self, patience: float) -> TopicFacts:
        """Make the topic if it is missing.

        Raises ConfigurationError if it cannot be used, ServiceUnavailableError if Kafka has not answered within
        ``patience`` seconds.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                return await asyncio.to_thread(self._facts)
            except KafkaException as exc:
                error = self._error(exc)
                if isinstance(error, ConfigurationError) or time.monotonic() > deadline:
                    raise error from exc
            await asyncio.sleep(_REST_SECONDS)

    async def check(self, identity: str) -> None:
        """Raises ConfigurationError if this is no longer the topic that it was, ServiceUnavailableError."""
        try:
            if await asyncio.to_thread(self._identity) == identity:
                return
        except KafkaException as exc:
            if error_of(exc).code() not in MISSING_TOPIC:
                raise self._error(exc) from exc
        raise made_anew(self.name)

    def _facts(self) -> TopicFacts:
        try:
            identity = self._identity()
        except KafkaException as exc:
            if error_of(exc).code() not in MISSING_TOPIC:
                raise
            self._make()
            identity = self._identity()
        settings = self._settings()
        if settings["cleanup.policy"] != SETTINGS["cleanup.policy"]:
            raise _not_compacted(self.name, settings["cleanup.policy"])
        return TopicFacts(identity=identity, largest=int(settings["max.message.bytes"]), end=self._end())

    def _identity(self) -> str:
        asked = self._admin.describe_topics(TopicCollection([self.name]), request_timeout=_REQUEST_SECONDS)
        return str(asked[self.name].result().topic_id)

    def _make(self) -> None:
        wanted = _ADMIN.NewTopic(self.name, num_partitions=1, replication_factor=-1, config=dict(SETTINGS))
        self._admin.create_topics([wanted], request_timeout=_REQUEST_SECONDS)[self.name].result()

    def _settings(self) -> Mapping[str, str]:
        resource = _ADMIN.ConfigResource(_ADMIN.ResourceType.TOPIC, self.name)
        found = self._admin.describe_configs([resource], request_timeout=_REQUEST_SECONDS)[resource].result()
        return {name: entry.value for name, entry in found.items()}

    def _end(self) -> int:
        partition = TopicPartition(self.name, 0)
        asked = {partition: _ADMIN.OffsetSpec.latest()}
        end: int = self._admin.list_offsets(asked, request_timeout=_REQUEST_SECONDS)[partition].result().offset
        return end

    def _error(self, exc: KafkaException) -> RtragError:
        self._admin.poll(0)  # what it has to complain of comes only when asked for
        error = error_of(exc)
        if error.code() in REFUSED:
            return refused(self.name, error)
        if self._complaints.refusal is not None:
            return refused(self.name, self._complaints.refusal)
        if error.code() in UNMAKEABLE:
            return ConfigurationError(
                f"Kafka does not make the topic {self.name}: {error.str()}.",
                fix="make it yourself, with one partition and cleanup.policy=compact",
            )
        return ServiceUnavailableError(f"Kafka does not answer for the topic {self.name}: {error.str()}")


def _not_compacted(name: str, policy: str) -> ConfigurationError:
    return ConfigurationError(
        f"The topic {name} has cleanup.policy={policy}, by which Kafka removes letters that are open.",
        fix=f"kafka-configs --alter --topic {name} --add-config cleanup.policy=compact",
    )

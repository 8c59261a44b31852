"""Where topics begin and end."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition, admin

from rtrag.adapters.kafka.clients import Complaints, made
from rtrag.adapters.kafka.errors import MISSING_TOPIC, error_of
from rtrag.adapters.kafka.progress import Partition
from rtrag.domain.errors import ServiceUnavailableError

_REQUEST_SECONDS: Final = 10.0
_ADMIN: Final[Any] = admin  # whose types leave out what it exports


class TopicEnds:
    """Asks over a connection of its own: on a consumer's, a request waits behind the fetch that waits for records."""

    def __init__(self, bootstrap_servers: str, options: Mapping[str, str | int | float | bool]) -> None:
        self._admin = made(_ADMIN.AdminClient, bootstrap_servers, options, {}, Complaints("the ends of topics"))

    async def of(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        """First and next offset of every partition. Raises ServiceUnavailableError."""
        return await asyncio.to_thread(self._of, topics)

    async def told_by(self, group: str, topics: Sequence[str]) -> bool:
        """Whether a group has told an offset of any of these topics. Raises ServiceUnavailableError."""
        return await asyncio.to_thread(self._told_by, group, topics)

    def _told_by(self, group: str, topics: Sequence[str]) -> bool:
        try:
            asked = self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group)], request_timeout=_REQUEST_SECONDS
            )
            found = asked[group].result().topic_partitions or []
        except KafkaException as exc:
            if error_of(exc).code() == KafkaError.GROUP_ID_NOT_FOUND:
                return False
            raise ServiceUnavailableError(f"Kafka did not tell the group's offsets: {error_of(exc).str()}") from exc
        return any(each.topic in topics and each.offset >= 0 for each in found)

    def _of(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        try:
            every = [TopicPartition(topic, number) for topic in topics for number in self._partitions(topic)]
            first, following = (
                self._admin.list_offsets(dict.fromkeys(every, spec), request_timeout=_REQUEST_SECONDS)
                for spec in (_ADMIN.OffsetSpec.earliest(), _ADMIN.OffsetSpec.latest())
            )
            return {
                (each.topic, each.partition): (first[each].result().offset, following[each].result().offset)
                for each in every
            }
        except KafkaException as exc:
            raise ServiceUnavailableError(f"Kafka did not tell where its topics end: {error_of(exc).str()}") from exc

    def _partitions(self, topic: str) -> Sequence[int]:
        """None of a topic that does not exist: Debezium makes it with the first row. Raises for what is not known now.

        A topic that is passed over by mistake would let a watermark pass changes that nobody has read.
        """
        described = self._admin.list_topics(topic, timeout=_REQUEST_SECONDS).topics[topic]
        if described.error is not None and described.error.code() not in MISSING_TOPIC:
            raise KafkaException(described.error)
        return list(described.partitions)

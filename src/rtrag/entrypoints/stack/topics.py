"""Topics: what there is, and making those that a service needs, because the broker makes none by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtrag.entrypoints.cli.errors import CommandError


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic to make. ``partitions`` bounds how many workers of one group can share it."""

    name: str
    partitions: int = 12
    replication_factor: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a broker says of its cluster. ``partitions`` is by topic, internal ones included."""

    brokers: int
    partitions: Mapping[str, int]

    @property
    def topics(self) -> int:
        return len(self.partitions)


def cluster(bootstrap: str, *, seconds: float) -> Cluster:
    """Ask a broker. Raises CommandError if it does not answer in time."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - an optional package

    try:
        metadata = _client(bootstrap).list_topics(timeout=seconds)
    except KafkaException as exc:
        raise CommandError(f"Kafka at {bootstrap} does not answer: {exc}.", fix="`rtrag stack status`") from exc
    counts = {name: len(topic.partitions) for name, topic in sorted(metadata.topics.items())}
    return Cluster(brokers=len(metadata.brokers), partitions=counts)


def create_topics(bootstrap: str, topics: Sequence[Topic], *, seconds: float = 30.0) -> list[str]:
    """Make the topics that are missing; the names of those made. Those that exist stay as they are.

    Raises CommandError.
    """
    from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415 - an optional package
    from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415 - as above

    wanted = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=topic.replication_factor,
            config=dict(topic.settings),
        )
        for topic in topics
    ]
    made = []
    client = _client(bootstrap)  # kept while the results are outstanding: they fail when it is collected
    for name, result in client.create_topics(wanted, operation_timeout=seconds).items():
        try:
            result.result(seconds)
        except KafkaException as exc:
            if exc.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            raise CommandError(f"Topic {name!r} could not be made: {exc}.", fix="correct its settings.") from exc
        made.append(name)
    return made


def _client(bootstrap: str) -> Any:
    try:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - an optional package
    except ImportError as exc:
        raise CommandError(
            "The package confluent-kafka is not installed.", fix="pip install 'rtrag[distributed]'"
        ) from exc
    # the client's own log tells of every refused connection while the broker starts
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 5000})

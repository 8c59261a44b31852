"""What Kafka's errors mean to us."""

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from rtrag.domain.errors import ConfigurationError, RtragError, SourceInterruptedError

NOT_OURS: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - librdkafka's own codes have such names
    }
)
MISSING_TOPIC: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001
REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
    }
)

UNMAKEABLE: Final = frozenset(
    {KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG, KafkaError.TOPIC_EXCEPTION, KafkaError.INVALID_PARTITIONS}
)


def error_of(exception: KafkaException) -> KafkaError:
    """The error that an exception carries."""
    error: Any = exception.args[0]
    return error if isinstance(error, KafkaError) else KafkaError(KafkaError._FAIL, str(error))  # noqa: SLF001


def failure_of(error: KafkaError, message: Message | None = None) -> RtragError:
    """What to raise for an error that polling brought: ConfigurationError or SourceInterruptedError."""
    if error.code() in REFUSED:
        return ConfigurationError(
            f"Kafka does not let this client in: {error.str()}.",
            fix="correct user and password, or let the user read the topics and the group",
        )
    if error.code() == KafkaError._AUTO_OFFSET_RESET and message is not None:  # noqa: SLF001
        return removed(TopicPartition(message.topic() or "", message.partition() or 0), -1)
    return SourceInterruptedError(f"Kafka broke off: {error.str()}")


def removed(partition: TopicPartition, first: int) -> ConfigurationError:
    """Records are gone that nobody here has read."""
    return ConfigurationError(
        f"Kafka has removed records of {partition.topic}[{partition.partition}] before they were read"
        f"{f': the first one left is number {first}' if first >= 0 else ''}. The changes in them are lost.",
        fix="raise the number at the end of the connector's topic.prefix and give it a new slot, so that all rows are "
        "sent again, and keep records longer than the longest outage (retention.ms)",
    )


def made_anew(topic: str) -> ConfigurationError:
    """The topic is not the one that was read."""
    return ConfigurationError(
        f"The topic {topic} was removed, or removed and made again: the dead letters in it are gone.",
        fix="start this process again, which makes the topic if it is missing, then run `rtrag verify --repair`: it "
        "finds the documents whose letters are gone",
    )


def refused(topic: str, error: KafkaError) -> ConfigurationError:
    """Kafka does not let us."""
    return ConfigurationError(
        f"Kafka does not let this client use the topic {topic}: {error.str()}.",
        fix="correct user and password, or let the user describe, create, read and write this topic",
    )

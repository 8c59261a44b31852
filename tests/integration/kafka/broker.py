"""A real Kafka broker that can be stopped and started again, and a look at its topics."""

import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition, admin

from rtrag.entrypoints.stack import process
from rtrag.entrypoints.stack.kafka import kafka_part
from rtrag.entrypoints.stack.layout import Stack
from rtrag.entrypoints.stack.part import NotHealthyError

QUIET: Final = {"log_level": 0}
_ADMIN: Final[Any] = admin  # whose types leave out what it exports


class Broker:
    """The broker of a stack, without its other parts."""

    def __init__(self, stack: Stack) -> None:
        self.bootstrap_servers = stack.address("kafka")
        self._part = kafka_part(stack)
        self._files = process.Files(log=stack.log("kafka"), record=stack.record("kafka"))
        self._client: Any = _ADMIN.AdminClient({"bootstrap.servers": self.bootstrap_servers, **QUIET})

    def start(self) -> None:
        """Start it, until it answers."""
        running = process.start(self._part.prepare(), self._files)
        deadline = time.monotonic() + self._part.start_seconds
        while True:
            try:
                self._part.check()
            except NotHealthyError:
                assert not process.ended(running), "\n".join(process.tail(self._files.log, 30))
                assert time.monotonic() < deadline, "the broker does not answer"
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """End it; what it holds stays."""
        running = process.find(self._files.record)
        if running is not None:
            process.stop(running, self._part.stops)

    def freeze(self) -> None:
        """From now on it takes connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def make_topic(self, name: str, **settings: str) -> None:
        """Make a topic of one partition; ``cleanup_policy`` sets cleanup.policy."""
        config = {key.replace("_", "."): value for key, value in settings.items()}
        self._client.create_topics([_ADMIN.NewTopic(name, 1, 1, config=config)])[name].result()

    def alter_topic(self, name: str, **settings: str) -> None:
        """Change settings of a topic."""
        entries = [
            _ADMIN.ConfigEntry(key.replace("_", "."), value, incremental_operation=_ADMIN.AlterConfigOpType.SET)
            for key, value in settings.items()
        ]
        resource = _ADMIN.ConfigResource(_ADMIN.ResourceType.TOPIC, name, incremental_configs=entries)
        self._client.incremental_alter_configs([resource])[resource].result()

    def delete_topic(self, name: str) -> None:
        """Remove a topic with all that it holds."""
        self._client.delete_topics([name])[name].result()

    def settings(self, name: str) -> Mapping[str, str]:
        """The settings of a topic."""
        resource = _ADMIN.ConfigResource(_ADMIN.ResourceType.TOPIC, name)
        found = self._client.describe_configs([resource])[resource].result()
        return {key: entry.value for key, entry in found.items()}

    def write(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Put a record into partition 0, as anybody might."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "message.max.bytes": 100_000_000, **QUIET})
        producer.produce(topic, key=key, value=value, partition=0)
        assert producer.flush(30) == 0

    def records(self, topic: str) -> Sequence[Message]:
        """All that partition 0 holds."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": "a look",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                **QUIET,
            }
        )
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found: list[Message] = []
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                consumer.close()
                return found
            assert error is None, error
            found.append(message)
        raise AssertionError(f"the end of {topic} was not reached; {len(found)} records read")

    def _signal(self, number: signal.Signals) -> None:
        running = process.find(self._files.record)
        assert running is not None
        running.send_signal(number)

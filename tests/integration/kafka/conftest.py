"""A Kafka broker alone, on free ports, in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.kafka.broker import Broker
from integration.stack_under_test import new_stack


@pytest.fixture(scope="session")
def broker(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The session's broker. Who stops it starts it again."""
    broker = Broker(new_stack(tmp_path_factory.mktemp("kafka"), jars))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def kafka(broker: Broker) -> str:
    """Where the broker listens."""
    return broker.bootstrap_servers

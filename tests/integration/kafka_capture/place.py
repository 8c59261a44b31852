"""A place of its own on the session's stack: database, connector and topics, and an instance that reads them."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from benchmarks.asking import ask, wait_visible
from benchmarks.client import Client
from benchmarks.instance import Instance, running
from benchmarks.stack import Way
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from rtrag.entrypoints.stack.topics import cluster

PATIENCE_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A running instance with what it reads from."""

    way: Way
    instance: Instance
    client: Client

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """See ``sql``."""
        return sql(self.way, statement, *parameters)

    def write(self, key: str, statement: str, *parameters: object) -> None:
        """Run a statement that changes this document, and wait until that is visible."""
        before = self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        self.sql(statement, *parameters)
        wait_visible(self.client, f"public.documents/{quote(key)}@{before}")

    def settle(self) -> None:
        """Until everything committed so far is visible."""
        wait_visible(self.client, self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0])

    def totals(self) -> dict[str, int]:
        """What the pipeline has counted."""
        return dict(self.instance.status(self.client)["totals"])

    def letters(self) -> dict[str, str]:
        """The causes of the open dead letters, by the document's id."""
        status, body = self.client.get("/api/dead-letters")
        assert status == 200, body
        return {letter["key"].rpartition("/")[2]: letter["cause"] for letter in body["dead_letters"]}

    def problems(self) -> list[str]:
        """Why it is not ready."""
        _, body = self.client.get("/ready")
        return list(body["problems"])

    def replay_all(self) -> int:
        """Replay all dead letters; how many closed."""
        status, body = self.client.post("/api/dead-letters/replay", {})
        assert status == 200, body
        return int(body["closed"])

    def shown(self, text: str) -> dict[str, str]:
        """The first passage of each document that a query shows, by id."""
        found: dict[str, str] = {}
        for source in ask(self.client, text, page_size=100)["sources"]:
            found.setdefault(source["id"], source["text"])
        return found

    def differences(self) -> list[dict[str, Any]]:
        """What table and index differ in."""
        return self.instance.verify(self.client)


@contextmanager
def instance_at(way: Way, folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Place]:
    """An instance that has read everything, stopped at the end."""
    with running(folder, {**way.environment, **(settings or {})}) as instance, Client(instance.url) as client:
        instance.wait_ready(client)
        yield Place(way=way, instance=instance, client=client)


def sql(way: Way, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a statement in a transaction of its own; its rows."""
    with psycopg.connect(way.postgres_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def until(reached: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"not so within {PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(0.05)


def has_topic(way: Way, topic: str) -> bool:
    return topic in cluster(way.stack.bootstrap_servers, seconds=10).partitions


def messages(way: Way, topic: str) -> list[Message]:
    """Everything in a topic, partition by partition; nothing if it does not exist yet."""
    consumer = Consumer(
        {
            "bootstrap.servers": way.stack.bootstrap_servers,
            "group.id": "tests",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )
    count = cluster(way.stack.bootstrap_servers, seconds=10).partitions.get(topic, 0)
    try:
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(count)])
        found: list[Message] = []
        ended = 0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while ended < count:
            assert time.monotonic() < deadline, f"{topic} has no end"
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                found.append(message)
            elif message is not None:
                ended += 1
    finally:
        consumer.close()
    return sorted(found, key=lambda each: (each.partition() or 0, each.offset() or 0))

"""The whole stack on other ports: a row in PostgreSQL becomes an event in Kafka, through kills and restarts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from confluent_kafka import Consumer

from integration.stack_under_test import ROOT, new_stack, stack_folder
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack import process
from rtrag.entrypoints.stack.layout import HOST, PORTS, Stack
from rtrag.entrypoints.stack.topics import Topic, cluster, create_topics

TOPIC = "rag.1.public.documents"
CONNECTOR = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.hostname": "${env:DEBEZIUM_DATABASE_HOSTNAME}",
    "database.port": "${env:DEBEZIUM_DATABASE_PORT}",
    "database.dbname": "${env:DEBEZIUM_DATABASE_DBNAME}",
    "database.user": "${env:DEBEZIUM_DATABASE_USER}",
    "database.password": "${env:DEBEZIUM_DATABASE_PASSWORD}",
    "plugin.name": "pgoutput",
    "topic.prefix": "rag.1",
    "publication.name": "debezium",
    "publication.autocreate.mode": "disabled",
    "table.include.list": "public.documents",
    "topic.creation.default.partitions": "1",
    "topic.creation.default.replication.factor": "1",
    "errors.max.retries": "-1",
    "retriable.restart.connector.wait.ms": "500",
}


@dataclass(frozen=True, slots=True)
class Native:
    """A stack under test, driven by its command line."""

    stack: Stack
    shape: tuple[str, ...] = ()
    mark: str = field(default_factory=lambda: uuid4().hex[:8])  # of this run's keys: a stack may have seen others
    seen: dict[str, None] = field(default_factory=dict)

    def run(self, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        program = (sys.executable, "-c", "from rtrag.entrypoints.cli.app import main; main()")
        given = (*program, "stack", command, "--data", str(self.stack.data), *arguments)
        return subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)

    def up(self) -> None:
        done = self.run("up", "--no-services", "--port-offset", str(self.stack.port_offset), *self.shape)
        assert done.returncode == 0, done.stderr

    def parts(self) -> dict[str, dict[str, Any]]:
        found = json.loads(self.run("status", "--json").stdout)
        return {part["name"]: part for part in found["parts"]}

    def pids(self) -> dict[str, int]:
        return {name: part["pid"] for name, part in self.parts().items()}

    def write(self, key: str) -> None:
        with psycopg.connect(
            host=HOST, port=self.stack.port("postgres"), user="rag_user", password="rag_pass", dbname="rag_db"
        ) as connection:
            connection.execute("INSERT INTO documents (id, content) VALUES (%s, 'text')", (f"{key} {self.mark}",))

    def connect(self) -> None:
        url = f"http://{self.stack.address('connect')}/connectors/documents/config"
        httpx.put(url, json=CONNECTOR, timeout=30.0, trust_env=False).raise_for_status()

    def disconnect(self) -> None:
        url = f"http://{self.stack.address('connect')}/connectors/documents"
        httpx.delete(url, timeout=30.0, trust_env=False).raise_for_status()

    def await_event(self, key: str) -> None:
        """Until the document's event is in the topic, read from its beginning by a group of its own."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.stack.address("kafka"),
                "group.id": f"test-{uuid4().hex}",
                "auto.offset.reset": "earliest",
                "topic.metadata.refresh.interval.ms": 500,
                "log_level": 0,
            }
        )
        consumer.subscribe([TOPIC])
        seen = self.seen
        try:
            until(
                lambda: f"{key} {self.mark}" in seen,
                "the event is in the topic",
                poll=lambda: note(consumer, seen),
                seconds=90,
            )
        finally:
            consumer.close()


def note(consumer: Consumer, seen: dict[str, None]) -> None:
    message = consumer.poll(0.5)
    if message is not None and message.error() is None:
        key = message.key()
        assert isinstance(key, bytes)
        seen[json.loads(key)["id"]] = None


def pause() -> None:
    time.sleep(0.1)


def until(reached: Callable[[], bool], what: str, *, poll: Callable[[], object] = pause, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not so within {seconds:.0f} s: {what}"
        poll()


@pytest.fixture(scope="module", params=["kraft", "zookeeper"])
def native(request: pytest.FixtureRequest, jars: Path) -> Iterator[Native]:
    """The session's stack, and one with ZooKeeper, each with a connector for the documents."""
    if request.param == "kraft":
        native = Native(request.getfixturevalue("running_stack"))
        native.connect()
        yield native
        native.disconnect()
        return
    if not os.environ.get("RTRAG_TEST_ZOOKEEPER"):
        pytest.skip("RTRAG_TEST_ZOOKEEPER=1 starts a second stack, with ZooKeeper")
    with stack_folder() as data:
        native = Native(new_stack(data, jars, zookeeper=True), ("--zookeeper",))
        try:
            native.up()
            native.connect()
            yield native
        finally:
            done = native.run("down", "--wipe")
            assert done.returncode == 0, done.stderr


def test_every_part_is_healthy_and_a_change_becomes_an_event(native: Native) -> None:
    assert {part["health"] for part in native.parts().values()} == {"ok"}
    native.write("first")
    native.await_event("first")


def test_what_runs_is_left_running(native: Native) -> None:
    before = native.pids()
    native.up()
    assert native.pids() == before


def test_everything_listens_on_loopback_only(native: Native) -> None:
    addresses = {
        connection.laddr.ip
        for pid in native.pids().values()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    # Java writes an IPv4 address of a socket for both families with the prefix
    assert {address.removeprefix("::ffff:") for address in addresses} == {HOST}


def test_a_killed_broker_is_seen_and_started_again_and_no_change_is_lost(native: Native) -> None:
    before = native.pids()
    psutil.Process(before["kafka"]).kill()
    until(lambda: process.find(native.stack.record("kafka")) is None, "the broker has ended")
    status = native.run("status")
    assert status.returncode == 1
    assert "kafka       stopped" in status.stdout
    native.write("while the broker was down")
    native.up()
    native.await_event("while the broker was down")
    after = native.pids()
    assert {name for name in after if after[name] != before[name]} == {"kafka"}


def test_after_down_nothing_runs_and_up_resumes(native: Native) -> None:
    done = native.run("down")
    assert done.returncode == 0, done.stderr
    assert {part["health"] for part in native.parts().values()} == {"stopped"}
    stack = native.stack
    assert not [port for port in PORTS if process.listener(HOST, stack.port(port))]
    native.up()
    native.write("after the restart")
    native.await_event("after the restart")


def test_topics_are_made_once_and_only_on_purpose(native: Native) -> None:
    bootstrap = native.stack.address("kafka")
    wanted = [Topic(name="rag.test.letters", partitions=3, settings={"retention.ms": "-1"})]
    assert create_topics(bootstrap, wanted) == ["rag.test.letters"]
    assert create_topics(bootstrap, wanted) == []
    until(lambda: cluster(bootstrap, seconds=5).partitions.get("rag.test.letters") == 3, "the topic is there")
    described = native.run("kafka", "configs", "--describe", "--topic", "rag.test.letters")
    assert "retention.ms=-1" in described.stdout, described.stderr


def test_a_topic_that_the_broker_refuses_is_an_error_with_its_cause(native: Native) -> None:
    wanted = [Topic(name="rag.test.refused", replication_factor=3)]
    with pytest.raises(CommandError, match=r"rag\.test\.refused.*INVALID_REPLICATION_FACTOR"):
        create_topics(native.stack.address("kafka"), wanted)


def test_a_stack_keeps_its_shape_and_its_ports(native: Native) -> None:
    other = "--kraft" if native.stack.zookeeper else "--zookeeper"
    assert native.run("up", "--no-services", other).returncode == 2
    moved = native.run("up", "--no-services", "--port-offset", "1")
    assert moved.returncode == 2
    assert "rtrag stack down" in moved.stderr


def test_the_log_of_a_part_is_printed(native: Native) -> None:
    printed = native.run("logs", "kafka", "--lines", "5")
    assert len(printed.stdout.splitlines()) == 5
    assert native.run("logs", "mysql").returncode == 1

"""The Kafka broker: KRaft, or the 3.9 line with ZooKeeper, with the properties of ``docker/kafka``."""

import base64
import subprocess
import uuid
from pathlib import Path

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack.java import java_command
from rtrag.entrypoints.stack.layout import HOST, Stack
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part, base_environment
from rtrag.entrypoints.stack.properties import overlay
from rtrag.entrypoints.stack.topics import cluster
from rtrag.entrypoints.stack.zookeeper import await_broker_forgotten

HEAP = "512m"


def kafka_part(stack: Stack) -> Part:
    """The broker."""
    controller = () if stack.zookeeper else (stack.port("kafka-controller"),)
    return Part(
        name="kafka",
        title="Kafka with ZooKeeper" if stack.zookeeper else "Kafka",
        ports=(stack.port("kafka"), *controller),
        prepare=lambda: _prepare_with_zookeeper(stack) if stack.zookeeper else _prepare(stack),
        check=lambda: _check(stack),
        start_seconds=90.0,
        advice="the log says why; `rtrag stack down --wipe` begins again with nothing",
    )


def _prepare(stack: Stack) -> Launch:
    folder = stack.folder("kafka")
    properties = _write(
        stack,
        "server.properties",
        {
            "controller.quorum.voters": f"1@{stack.address('kafka-controller')}",
            "listeners": f"OUTSIDE://{stack.address('kafka')},CONTROLLER://{stack.address('kafka-controller')}",
            "advertised.listeners": f"OUTSIDE://{stack.address('kafka')}",
            "inter.broker.listener.name": "OUTSIDE",
            "log.dirs": str(folder / "data"),
        },
    )
    if not (folder / "data" / "meta.properties").exists():
        _format(stack, properties)
    logs = f"-Dlog4j2.configurationFile={stack.configuration('docker/kafka/log4j2.properties')}"
    command = java_command(jars=stack.java("kafka"), main_class="kafka.Kafka", heap=HEAP, options=(logs,))
    return Launch(command=(*command, str(properties)), folder=folder)


def _prepare_with_zookeeper(stack: Stack) -> Launch:
    await_broker_forgotten(stack)
    folder = stack.folder("kafka")
    properties = _write(
        stack,
        "server-zookeeper.properties",
        {
            "zookeeper.connect": stack.address("zookeeper"),
            "listeners": f"OUTSIDE://{stack.address('kafka')}",
            "advertised.listeners": f"OUTSIDE://{stack.address('kafka')}",
            "inter.broker.listener.name": "OUTSIDE",
            "log.dirs": str(folder / "data"),
        },
    )
    logs = f"-Dlog4j.configuration=file:{stack.configuration('docker/kafka/log4j.properties')}"
    command = java_command(jars=stack.java("zookeeper"), main_class="kafka.Kafka", heap=HEAP, options=(logs,))
    return Launch(command=(*command, str(properties)), folder=folder)


def _write(stack: Stack, name: str, values: dict[str, str | int]) -> Path:
    written = stack.folder("kafka") / name
    written.write_text(overlay(stack.configuration(f"docker/kafka/{name}").read_text(), values))
    return written


def _format(stack: Stack, properties: Path) -> None:
    """Give the empty log folder its cluster id, which a broker in KRaft mode asks for."""
    command = java_command(jars=stack.java("kafka"), main_class="kafka.tools.StorageTool", heap="128m")
    done = subprocess.run(  # noqa: S603 - our own command
        (*command, "format", "--cluster-id", new_cluster_id(), "--config", str(properties)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=base_environment(),
        check=False,
    )
    if done.returncode:
        raise CommandError(
            f"The folder of the broker could not be formatted:\n{done.stdout}{done.stderr}",
            fix=f"the last lines say why; the properties are {properties}.",
        )


def new_cluster_id() -> str:
    """A random id as Kafka writes it: 22 characters, the first no ``-``, which would be taken for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _check(stack: Stack) -> str:
    try:
        found = cluster(f"{HOST}:{stack.port('kafka')}", seconds=3.0)
    except CommandError as exc:
        raise NotHealthyError(str(exc)) from exc
    if found.brokers < 1:
        raise NotHealthyError("the broker has not registered yet")
    return f"{found.topics} topics"

"""ZooKeeper, alone, for the 3.9 broker."""

import socket
import time

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack.java import java_command
from rtrag.entrypoints.stack.layout import HOST, Stack
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part
from rtrag.entrypoints.stack.properties import overlay

_BROKER = "/brokers/ids/1"
_SESSION_SECONDS = 60.0  # more than zookeeper.session.timeout.ms in server-zookeeper.properties
_POLL_SECONDS = 0.2


def zookeeper_part(stack: Stack) -> Part:
    """ZooKeeper."""
    return Part(
        name="zookeeper",
        title="ZooKeeper",
        ports=(stack.port("zookeeper"),),
        prepare=lambda: _prepare(stack),
        check=lambda: _check(stack),
    )


def _prepare(stack: Stack) -> Launch:
    folder = stack.folder("zookeeper")
    values: dict[str, str | int] = {
        "dataDir": str(folder / "data"),
        "clientPort": stack.port("zookeeper"),
        "clientPortAddress": HOST,
    }
    written = folder / "zookeeper.properties"
    written.write_text(overlay(stack.configuration("docker/kafka/zookeeper.properties").read_text(), values))
    logs = f"-Dlog4j.configuration=file:{stack.configuration('docker/kafka/log4j.properties')}"
    command = java_command(
        jars=stack.java("zookeeper"),
        main_class="org.apache.zookeeper.server.quorum.QuorumPeerMain",
        heap="128m",
        options=(logs,),
    )
    return Launch(command=(*command, str(written)), folder=folder)


def await_broker_forgotten(stack: Stack) -> None:
    """Wait until ZooKeeper has forgotten a killed broker, whose successor it would refuse until the session ends.

    Raises CommandError.
    """
    deadline = time.monotonic() + _SESSION_SECONDS
    while time.monotonic() < deadline:
        try:
            if _BROKER not in _ask(stack, b"dump").split():
                return
        except OSError as exc:
            raise CommandError(f"ZooKeeper does not answer: {exc}.", fix="rtrag stack logs zookeeper") from exc
        time.sleep(_POLL_SECONDS)
    raise CommandError(
        f"A broker is registered at the ZooKeeper on {stack.address('zookeeper')} that is not ours.", fix="stop it."
    )


def _check(stack: Stack) -> str:
    """The first line of the answer has the version."""
    try:
        answer = _ask(stack, b"srvr")
    except OSError as exc:
        raise NotHealthyError(str(exc)) from exc
    if not answer.startswith("Zookeeper version:"):
        raise NotHealthyError(f"it answered: {answer.strip()[:100] or 'nothing'}")
    return answer.removeprefix("Zookeeper version:").strip().split("-", maxsplit=1)[0]


def _ask(stack: Stack, word: bytes) -> str:
    """The answer to one of ZooKeeper's four-letter words, those that ``zookeeper.properties`` allows."""
    with socket.create_connection((HOST, stack.port("zookeeper")), timeout=3.0) as connection:
        connection.sendall(word)
        return connection.makefile("rb").read().decode("utf-8", "replace")

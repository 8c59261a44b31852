"""Kafka Connect with the Debezium connector for PostgreSQL on its path."""

import os
import signal
from typing import Any

import httpx

from rtrag.entrypoints.stack.java import java_command
from rtrag.entrypoints.stack.layout import HOST, Stack
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part
from rtrag.entrypoints.stack.postgres import DATABASE
from rtrag.entrypoints.stack.properties import overlay

HEAP = "512m"
CONNECTOR = "io.debezium.connector.postgresql.PostgresConnector"


def connect_part(stack: Stack) -> Part:
    """Kafka Connect, in distributed mode: connectors and offsets are kept in topics."""
    return Part(
        name="connect",
        title="Kafka Connect with Debezium",
        ports=(stack.port("connect"),),
        prepare=lambda: _prepare(stack),
        check=lambda: _check(stack),
        start_seconds=120.0,
        stops=((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)),  # without a broker it waits for it to say goodbye
        advice="the log says why; it needs the broker: `rtrag stack status`",
    )


def connector_environment(stack: Stack) -> dict[str, str]:
    """What a connector's configuration can name as ``${env:DEBEZIUM_DATABASE_HOSTNAME}`` and the like."""
    return {
        "DEBEZIUM_DATABASE_HOSTNAME": HOST,
        "DEBEZIUM_DATABASE_PORT": str(stack.port("postgres")),
        "DEBEZIUM_DATABASE_DBNAME": DATABASE,
        "DEBEZIUM_DATABASE_USER": "debezium",
        "DEBEZIUM_DATABASE_PASSWORD": os.environ.get("DEBEZIUM_PASSWORD", "debezium_pass"),
    }


def _prepare(stack: Stack) -> Launch:
    folder = stack.folder("connect")
    values: dict[str, str | int] = {
        "bootstrap.servers": stack.address("kafka"),
        "listeners": f"http://{stack.address('connect')}",
        "rest.advertised.host.name": HOST,
        "rest.advertised.port": stack.port("connect"),
        "plugin.path": str(stack.java("debezium")),
    }
    written = folder / "connect-distributed.properties"
    base = stack.configuration("docker/connect/connect-distributed.properties").read_text()
    written.write_text(overlay(base, values))
    logs = f"-Dlog4j2.configurationFile={stack.configuration('docker/connect/log4j2.properties')}"
    command = java_command(
        jars=stack.java("kafka"),
        main_class="org.apache.kafka.connect.cli.ConnectDistributed",
        heap=HEAP,
        options=(logs,),
    )
    return Launch(command=(*command, str(written)), folder=folder, environment=connector_environment(stack))


def _check(stack: Stack) -> str:
    """Ready is who knows the connector's class and can read the topics that connectors are kept in."""
    plugins = _get(stack, "/connector-plugins")
    if CONNECTOR not in {plugin.get("class") for plugin in plugins}:
        raise NotHealthyError(f"it does not know {CONNECTOR}")
    connectors = _get(stack, "/connectors?expand=status")
    states = [
        f"{name} {'/'.join([status['connector']['state'], *(task['state'] for task in status['tasks'])])}"
        for name, status in ((name, found["status"]) for name, found in sorted(connectors.items()))
    ]
    return ", ".join(states) or "no connector"


def _get(stack: Stack, path: str) -> Any:
    try:
        answer = httpx.get(f"http://{stack.address('connect')}{path}", timeout=5.0, trust_env=False)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as exc:
        raise NotHealthyError(str(exc)) from exc

"""A running stack (`rtrag stack up`) as the way from PostgreSQL to the index: own database, connector and topics."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
from benchmarks.instance import InstanceFailedError
from confluent_kafka.admin import AdminClient

from rtrag.entrypoints.stack import layout
from rtrag.entrypoints.stack.postgres import SUPERUSER

CONNECTOR = Path(__file__).resolve().parents[1] / "debezium" / "connector-config-only.json"
PATIENCE_SECONDS = 60.0
QDRANT_URL = os.environ.get("QDRANT_URL")  # the index is on this server if there is one, else in the instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where the parts of a stack listen. ``postgres_url`` is a superuser's."""

    postgres_url: str
    connect_url: str
    bootstrap_servers: str


def addresses(stack: layout.Stack) -> Stack:
    """Where a running stack listens."""
    password = (stack.folder("postgres") / "superuser.password").read_text().strip()
    return Stack(
        postgres_url=f"postgresql://{SUPERUSER}:{password}@{stack.address('postgres')}/postgres",
        connect_url=f"http://{stack.address('connect')}",
        bootstrap_servers=stack.address("kafka"),
    )


def remembered_stack(folder: Path) -> layout.Stack:
    """The stack that ``rtrag stack up`` has started in this folder. Raises InstanceFailedError if there is none."""
    found = layout.remembered(folder)
    if found is None:
        raise InstanceFailedError(f"there is no stack in {folder}: `make stack` starts one")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A database of its own with its connector's names; removed at the end."""

    stack: Stack
    name: str
    postgres_url: str

    @property
    def prefix(self) -> str:
        """The connector's ``topic.prefix``."""
        return f"{self.name}.1"

    @property
    def environment(self) -> Mapping[str, str]:
        """What an instance has to be told."""
        return {
            "POSTGRES_URL": self.postgres_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.stack.bootstrap_servers,
            "RTRAG_SOURCE__KIND": "kafka",
            "RTRAG_SOURCE__TOPIC_PREFIX": self.prefix,
            "RTRAG_SOURCE__GROUP": self.name,
            "RTRAG_SOURCE__SLOT": self.name,
            **({"QDRANT_URL": QDRANT_URL, "RTRAG_INDEX__COLLECTION": self.name} if QDRANT_URL else {}),
        }

    def connect(self, changes: Mapping[str, str] | None = None) -> None:
        """Post the connector, with ``changes`` to the repository's file, and wait until it runs."""
        parts = urlsplit(self.postgres_url)
        configuration = json.loads(CONNECTOR.read_text()) | {
            "database.hostname": parts.hostname or "127.0.0.1",
            "database.port": str(parts.port or 5432),
            "database.user": parts.username or "",
            "database.password": parts.password or "",
            "database.dbname": self.name,
            "topic.prefix": self.prefix,
            "slot.name": self.name,
            "publication.name": self.name,
            "notification.sink.topic.name": f"{self.prefix}.notifications",
            **(changes or {}),
        }
        address = f"{self.stack.connect_url}/connectors/{self.name}"
        httpx.put(f"{address}/config", json=configuration, timeout=PATIENCE_SECONDS).raise_for_status()
        self.wait_running()

    def wait_running(self) -> None:
        """Until connector and task run. Raises InstanceFailedError."""
        address = f"{self.stack.connect_url}/connectors/{self.name}"
        deadline = time.monotonic() + PATIENCE_SECONDS
        said = "nothing"
        while time.monotonic() < deadline:
            try:
                status = httpx.get(f"{address}/status")
            except httpx.TransportError as exc:
                said = str(exc)
            else:
                said = status.text[:2000]
                tasks = status.json().get("tasks", []) if status.status_code == httpx.codes.OK else []
                if tasks and all(task["state"] == "RUNNING" for task in tasks):
                    return
            time.sleep(0.2)
        raise InstanceFailedError(f"the connector does not run: {said}")


@contextmanager
def way(stack: Stack, tables: bytes | None = None) -> Iterator[Way]:
    """A new database with these tables, by default an empty table of documents.

    Raises httpx.HTTPError and psycopg.Error.
    """
    name = f"bench_{time.time_ns() // 1_000_000}"
    url = urlsplit(stack.postgres_url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(stack.postgres_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        with psycopg.connect(url, autocommit=True) as database:
            database.execute(tables or (files("rtrag.adapters.postgres") / "schema.sql").read_bytes())
        yield Way(stack=stack, name=name, postgres_url=url)
    finally:
        httpx.delete(f"{stack.connect_url}/connectors/{name}", timeout=PATIENCE_SECONDS)
        _delete_topics(stack, f"{name}.")
        _delete_collections(name)
        with psycopg.connect(stack.postgres_url, autocommit=True) as admin:
            _drop_slot(admin, name)
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _delete_topics(stack: Stack, prefix: str) -> None:
    """A broker that was killed looks through every partition when it starts."""
    client = AdminClient({"bootstrap.servers": stack.bootstrap_servers, "log_level": 0})
    names = [name for name in client.list_topics(timeout=PATIENCE_SECONDS).topics if name.startswith(prefix)]
    for deleted in client.delete_topics(names).values() if names else ():
        deleted.result(PATIENCE_SECONDS)


def _delete_collections(prefix: str) -> None:
    """What was made on a Qdrant server; it may need RTRAG_INDEX__API_KEY."""
    if QDRANT_URL is None:
        return
    with httpx.Client(base_url=QDRANT_URL, headers={"api-key": os.environ.get("RTRAG_INDEX__API_KEY", "")}) as server:
        found = server.get("/collections").raise_for_status().json()["result"]["collections"]
        for each in found:
            if each["name"].startswith(prefix):
                server.delete(f"/collections/{each['name']}").raise_for_status()


def _drop_slot(admin: "psycopg.Connection[tuple[object, ...]]", name: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    found = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    while (row := admin.execute(found, (name,)).fetchone()) is not None:
        if not row[0]:
            admin.execute("SELECT pg_drop_replication_slot(%s)", (name,))
            return
        if time.monotonic() > deadline:
            raise InstanceFailedError(f"the slot {name} is still in use: the connector did not stop")
        time.sleep(0.2)

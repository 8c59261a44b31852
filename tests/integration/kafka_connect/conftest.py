"""A real Kafka Connect with Debezium, and a database of its own for each test."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from benchmarks.stack import Stack as Addresses
from psycopg.conninfo import conninfo_to_dict, make_conninfo

FILE = Path(__file__).parents[3] / "debezium" / "connector-config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database with documents; of the same name are a role that may replicate and read them, and the connector."""

    connect_url: str
    postgres_url: str
    name: str

    def changes(self, **more: str) -> list[str]:
        """The options that aim the repository's file at this place."""
        server = conninfo_to_dict(self.postgres_url)
        settings = {
            "database.hostname": str(server.get("host", "127.0.0.1")),
            "database.port": str(server.get("port", "5432")),
            "database.dbname": self.name,
            "database.user": self.name,
            "database.password": self.name,
            "slot.name": self.name,
            "publication.name": self.name,
            "topic.prefix": f"{self.name}.1",
            "notification.sink.topic.name": f"{self.name}.1.notifications",
            **{key.replace("_", "."): value for key, value in more.items()},
        }
        return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
async def place(stack_addresses: Addresses) -> AsyncIterator[Place]:
    connect_url, postgres_url = stack_addresses.connect_url, stack_addresses.postgres_url
    name = f"connect_{uuid4().hex[:10]}"
    url = make_conninfo(postgres_url, dbname=name)
    await run(postgres_url, f"CREATE DATABASE {name}", f"CREATE ROLE {name} LOGIN REPLICATION PASSWORD '{name}'")
    await run(
        url,
        "CREATE TABLE documents (id text PRIMARY KEY, content text NOT NULL)",
        f"GRANT SELECT ON documents TO {name}",
        f"CREATE PUBLICATION {name} FOR TABLE ONLY public.documents WITH (publish_via_partition_root = true)",
        "INSERT INTO documents VALUES ('doc-1', 'one')",
    )
    try:
        yield Place(connect_url=connect_url, postgres_url=url, name=name)
    finally:
        await _remove(connect_url, name)
        await run(
            url,
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots "
            f"WHERE active_pid IS NOT NULL AND slot_name = '{name}'",
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}'",
        )
        await run(postgres_url, f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}")


async def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements; the rows of the last one."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def _remove(connect_url: str, name: str) -> None:
    async with httpx.AsyncClient(base_url=connect_url) as http:
        await http.delete(f"/connectors/{name}")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

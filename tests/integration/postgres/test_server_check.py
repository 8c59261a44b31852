"""A server that cannot be captured from is refused with the SQL that mends it; one that ended by itself comes back."""

import asyncio
import re
import signal
from pathlib import Path

import psutil
import psycopg
import pytest

from rtrag.adapters.postgres.capture import CaptureSettings, Recorded, open_postgres_capture
from rtrag.adapters.postgres.connection import connect
from rtrag.adapters.postgres.embedded import open_embedded_postgres
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.mapping import TableMapping

IDENTITY = ChunkingIdentity(chunker_version="1", model_id="none", dimensions=1)
RECORDED = Recorded(state=None, copied={}, identity=IDENTITY)


def capture(url: str) -> CaptureSettings:
    return CaptureSettings(url=url, mappings=(TableMapping(table="public.documents"),), slot="wanted")


async def run(url: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def refused(url: str, message: str) -> str:
    """The SQL that the refusal names."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        async with open_postgres_capture(capture(url), RECORDED):
            pass
    found = re.match(r"ALTER SYSTEM[^;]*;", caught.value.fix)
    assert found is not None
    return found[0]


async def test_a_server_that_cannot_stream_is_refused_and_the_sql_named_mends_it(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    async with open_embedded_postgres(folder) as server:
        await run(
            server.superuser_url,
            "ALTER SYSTEM SET wal_level = 'replica'",
            "ALTER SYSTEM SET max_replication_slots = 1",
            "ALTER SYSTEM SET max_wal_senders = 1",
        )
    async with open_embedded_postgres(folder) as server:
        await run(server.superuser_url, await refused(server.url, "wal_level is 'replica'"))
    async with open_embedded_postgres(folder) as server:
        await run(server.url, "SELECT pg_create_logical_replication_slot('taken', 'pgoutput')")
        await run(server.superuser_url, await refused(server.url, "All 1 replication slots"))
    async with open_embedded_postgres(folder) as server:
        sender = await connect(server.url, replication="database")
        await run(server.superuser_url, await refused(server.url, "All 1 WAL senders"))
        await sender.close()
    async with open_embedded_postgres(folder) as server:
        sender = await connect(server.url, replication="database")
        async with open_postgres_capture(capture(server.url), RECORDED) as opened:
            assert opened.opening.copy
        await sender.close()


async def test_an_embedded_server_that_ended_by_itself_is_started_again_as_soon_as_that_is_possible(
    tmp_path: Path,
) -> None:
    told: list[str | None] = []
    async with asyncio.timeout(60), open_embedded_postgres(tmp_path / "postgres", told.append) as server:
        await run(server.url, "INSERT INTO documents (id) VALUES ('before')")
        hindered = tmp_path / "postgres" / "data" / "postgresql.auto.conf"
        settings = hindered.read_text()
        hindered.write_text(settings + "no_such_setting = 1\n")
        psutil.Process(server.pid).send_signal(signal.SIGKILL)
        while len(told) < 2:
            await asyncio.sleep(0.01)
        hindered.write_text(settings)
        while told[-1] is not None:
            await asyncio.sleep(0.01)
        await run(server.url, "INSERT INTO documents (id) SELECT id || ', after' FROM documents WHERE id = 'before'")
    assert str(told[0]).startswith("The embedded PostgreSQL has ended; it is started again")
    assert str(told[1]).startswith("The embedded PostgreSQL has ended and does not start, retrying: FATAL:")

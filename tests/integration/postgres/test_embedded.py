"""The embedded server starts, is left behind, adopted, refused and stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from rtrag.adapters.folder_lock import hold_folder
from rtrag.adapters.postgres.embedded import EmbeddedPostgres, open_embedded_postgres
from rtrag.domain.errors import ConfigurationError

HOLD = """
import asyncio, sys
from pathlib import Path
from rtrag.adapters.postgres.embedded import open_embedded_postgres

async def main():
    async with open_embedded_postgres(Path(sys.argv[1])):
        print("up", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await (await connection.execute(statement.encode())).fetchall()


@pytest.fixture(scope="module")
def used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose server has run and was stopped, so that tests need no new one each."""
    folder = tmp_path_factory.mktemp("embedded") / "postgres"

    async def use() -> None:
        async with open_embedded_postgres(folder) as postgres:
            await ask(postgres.url, "INSERT INTO documents (id) VALUES ('doc-1') RETURNING id")

    asyncio.run(use())
    return folder


async def test_the_server_can_stream_changes_and_its_owner_may_do_it(used_folder: Path) -> None:
    async with open_embedded_postgres(used_folder) as postgres:
        assert await ask(postgres.url, "SHOW wal_level") == [("logical",)]
        assert await ask(
            postgres.url, "SELECT rolname::text, rolreplication, rolsuper FROM pg_roles WHERE rolname = current_user"
        ) == [("rag_user", True, False)]
        slot = "SELECT slot_name::text FROM pg_create_logical_replication_slot('s', 'pgoutput', true)"
        assert await ask(postgres.url, slot) == [("s",)]


async def test_documents_survive_a_stop_and_the_url_works_in_psql(used_folder: Path) -> None:
    started = time.monotonic()
    async with open_embedded_postgres(used_folder) as postgres:
        assert time.monotonic() - started < 2
        command = [str(postgres.psql), postgres.url, "-Atc", "SELECT id, version FROM documents"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        assert done.stdout == "doc-1|1\n"
        pid = postgres.pid
    assert not psutil.pid_exists(pid)


async def test_a_second_opener_is_refused_with_the_fix(used_folder: Path) -> None:
    async with open_embedded_postgres(used_folder):
        with pytest.raises(ConfigurationError, match=rf"in use by another process \(pid {os.getpid()}\).*Fix: stop"):
            async with open_embedded_postgres(used_folder):
                pass


async def test_a_server_left_behind_by_a_killed_process_is_adopted_and_stopped(used_folder: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(used_folder)], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        holder.send_signal(signal.SIGKILL)
    async with open_embedded_postgres(used_folder) as postgres:
        assert postgres.adopted
        assert await ask(postgres.url, "SELECT id FROM documents") == [("doc-1",)]
        pid = postgres.pid
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_pid_file_whose_number_now_belongs_to_another_program_is_no_obstacle(used_folder: Path) -> None:
    lines = [str(os.getpid()), str(used_folder / "data"), "1", "5432", str(used_folder), "", "0 0", "ready"]
    (used_folder / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    async with open_embedded_postgres(used_folder) as postgres:
        assert not postgres.adopted
        assert await ask(postgres.url, "SELECT id FROM documents") == [("doc-1",)]


async def test_a_crash_of_the_server_loses_nothing(used_folder: Path) -> None:
    async with open_embedded_postgres(used_folder) as postgres:
        await ask(postgres.url, "UPDATE documents SET content = 'committed' RETURNING id")
        os.kill(postgres.pid, signal.SIGKILL)
    async with open_embedded_postgres(used_folder) as postgres:
        assert await ask(postgres.url, "SELECT content FROM documents") == [("committed",)]


async def test_clients_do_not_keep_it_from_stopping(used_folder: Path) -> None:
    async with open_embedded_postgres(used_folder) as postgres:
        client = await psycopg.AsyncConnection.connect(postgres.url)
        await client.execute("SELECT 1 FROM documents")
        started = time.monotonic()
    assert time.monotonic() - started < 5
    await client.close()


async def test_a_cancelled_start_leaves_no_server(used_folder: Path) -> None:
    async def use() -> None:
        async with open_embedded_postgres(used_folder):
            await asyncio.sleep(60)

    for delay in (0.0, 0.01, 0.05):
        task = asyncio.create_task(use())
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(used_folder / "data") in (p.info["cmdline"] or [])]


async def test_a_path_too_long_for_a_socket_and_odd_characters_in_it_work(tmp_path: Path) -> None:
    folder = tmp_path / "it's 100% odd & long" / ("x" * 80)

    async def version(postgres: EmbeddedPostgres) -> object:
        return (await ask(postgres.url, "SELECT count(*) FROM documents"))[0][0]

    async with open_embedded_postgres(folder) as postgres:
        assert await version(postgres) == 0


async def test_a_folder_that_cannot_be_made_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be used: Not a directory.*Fix: choose a folder"):
        async with open_embedded_postgres(tmp_path / "file" / "postgres"):
            pass


async def test_data_of_another_major_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError, match="made by PostgreSQL 16, this is 18"):
        async with open_embedded_postgres(tmp_path):
            pass


async def test_a_configuration_that_does_not_start_shows_the_servers_own_words(used_folder: Path) -> None:
    overriding = used_folder / "data" / "postgresql.auto.conf"
    before = overriding.read_text()
    overriding.write_text("shared_buffers = nonsense\n")
    try:
        with pytest.raises(ConfigurationError, match="shared_buffers") as caught:
            async with open_embedded_postgres(used_folder):
                pass
        assert "postgres.log" in caught.value.fix
    finally:
        overriding.write_text(before)


def test_a_folder_can_be_held_again_after_it_was_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_folder(tmp_path):
            assert int((tmp_path / "lock").read_text()) == os.getpid()

"""Streams under hardship: huge transactions, dead connections, idle tables, backpressure, odd bytes, changed tables."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from integration.postgres.conftest import (
    DOCUMENTS,
    LIMITS,
    Database,
    Server,
    batches_until,
    copied_changes,
    copied_rows,
    events_now,
    fresh_database,
)
from rtrag.adapters.postgres.capture import PostgresCapture
from rtrag.adapters.postgres.replication_stream import StreamTimes
from rtrag.domain.change import ChangeEvent, Delete, Unprocessable, Upsert
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import SourceInterruptedError
from rtrag.domain.mapping import TableMapping
from rtrag.ports.changes import BatchLimits


async def test_a_transaction_of_200000_rows_comes_in_parts_with_bounded_memory(database: Database) -> None:
    limits = BatchLimits(events=1000, bytes=1_000_000)
    async with database.capture() as capture:
        await events_now(capture)
        await database.run(
            "INSERT INTO documents SELECT n::text, 'title', repeat('x', 500) FROM generate_series(1, 200000) n"
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        events = parts = 0
        async with asyncio.timeout(60):
            while True:
                batch = await capture.source.next_batch(limits)
                events += len(batch.events)
                parts += batch.checkpoint is None
                assert len(batch.events) <= limits.events
                assert batch.size <= limits.bytes + 10_000
                if batch.checkpoint is not None and events:
                    break
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert events == 200_000
    assert parts >= 100
    assert grown < 30_000, f"{grown} kB"  # the rows together are 100 MB


async def test_a_busy_application_is_not_thrown_out_and_loses_nothing(database: Database) -> None:
    role = f"busy_{database.name}"
    await database.run(f"CREATE ROLE {role} SUPERUSER LOGIN")
    await database.run(f"ALTER ROLE {role} SET wal_sender_timeout = '1s'")
    try:
        async with database.capture(url=make_conninfo(database.url, user=role)) as capture:
            await database.run(
                "INSERT INTO documents SELECT n::text, '', repeat('x', 1000) FROM generate_series(1, 20000) n"
            )
            await asyncio.sleep(2.5)  # nothing is pulled, the sender is blocked and waits for us
            assert len(await events_now(capture)) == 20_000
    finally:
        await database.run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


async def test_idle_tables_still_let_the_slot_move(database: Database) -> None:
    async with database.capture() as capture:
        await database.run("CREATE TABLE unrelated (n int)", "INSERT INTO unrelated VALUES (1)")
        (lsn,) = (await database.query("SELECT pg_current_wal_lsn() - '0/0'"))[0]
        batches = await batches_until(capture, int(lsn))
        assert not any(batch.events for batch in batches)
        checkpoint = batches[-1].checkpoint
        assert checkpoint is not None
        await capture.source.confirm(checkpoint.lsn, 0)
        await asyncio.sleep(0.2)
        query = "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s"
        assert int((await database.query(query, (database.slot,)))[0][0]) == checkpoint.lsn >= int(lsn)


async def test_a_barrier_waits_for_commits_that_were_not_flushed(database: Database) -> None:
    async with database.capture() as capture, database.transaction() as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute("INSERT INTO documents VALUES ('async', '', 'x')")
        await connection.commit()
        async with asyncio.timeout(5):
            assert len(await events_now(capture)) == 1


async def test_a_checkpoint_is_never_above_what_was_delivered(database: Database) -> None:
    async with database.capture() as capture:
        await database.run("INSERT INTO documents SELECT n::text, '', 'x' FROM generate_series(1, 50) n")
        lsn = await capture.source.barrier()
        highest = 0
        for batch in await batches_until(capture, lsn, BatchLimits(events=7)):
            assert all(event.position.lsn >= highest for event in batch.events)
            if batch.checkpoint is not None:
                highest = batch.checkpoint.lsn
            marked = {mark.lsn for mark in batch.transactions}
            if batch.checkpoint is not None and batch.events:
                assert marked or batch.events[0].position.ordinal > 0


async def test_cancelling_a_read_loses_nothing(database: Database) -> None:
    async with database.capture() as capture:
        for number in range(30):
            await database.run(f"INSERT INTO documents VALUES ('{number}', '', 'x')")
        seen: list[ChangeEvent] = []
        for _ in range(200):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.0005):
                    seen += (await capture.source.next_batch(BatchLimits(events=1))).events
        seen += await events_now(capture)
    assert [event.key.values[0] for event in seen if isinstance(event, Upsert)] == [str(n) for n in range(30)]


async def test_a_stream_that_the_server_ends_is_an_error_and_resumes(database: Database) -> None:
    async with database.capture() as capture:
        state = capture.opening.state
        waiting = asyncio.create_task(drain(capture.source.next_batch))
        await asyncio.sleep(0.1)
        await database.query(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (database.slot,)
        )
        with pytest.raises(SourceInterruptedError, match="terminating connection"):
            async with asyncio.timeout(5):
                await waiting
    await database.run("INSERT INTO documents VALUES ('a', '', 'x')")
    async with database.capture(state=state, copied={"public.documents": 1}) as capture:
        assert not capture.opening.copy
        assert len(await events_now(capture)) == 1


async def drain(next_batch: object) -> None:
    assert callable(next_batch)
    while True:
        await next_batch(LIMITS)


@asynccontextmanager
async def silent_proxy(server: Server, folder: Path) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A proxy on a socket of its own that stops passing anything on once the event is set."""
    silent = asyncio.Event()
    given = conninfo_to_dict(server.url)
    host, port = str(given["host"]), str(given.get("port") or 5432)
    tasks: set[asyncio.Task[None]] = set()
    writers = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if silent.is_set():
                await asyncio.Event().wait()
            writer.write(data)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writers.extend([writer, far_writer])
        tasks.update({asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer))})

    proxy = await asyncio.start_unix_server(connected, folder / ".s.PGSQL.5432")
    try:
        yield make_conninfo(server.url, host=str(folder), port=5432), silent
    finally:
        for task in tasks:
            task.cancel()
        for writer in writers:
            writer.close()
        proxy.close()


async def test_a_connection_that_falls_silent_is_noticed(database: Database, server: Server, tmp_path: Path) -> None:
    times = StreamTimes(status_interval=0.2, read_deadline=1.0)
    async with silent_proxy(server, tmp_path) as (through, silent):
        url = make_conninfo(through, dbname=database.name)
        async with database.capture(url=url, times=times) as capture:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.5):  # alive: answers to status updates keep coming
                    await drain(capture.source.next_batch)
            silent.set()
            with pytest.raises(SourceInterruptedError, match="connection is dead"):
                async with asyncio.timeout(5):
                    await drain(capture.source.next_batch)


async def test_an_added_column_is_ignored_and_a_dropped_one_stops_that_table_only(database: Database) -> None:
    await database.run("CREATE TABLE notes (id int PRIMARY KEY, content text)")
    notes = TableMapping(table="public.notes")
    async with database.capture(DOCUMENTS, notes, column_lists=False) as capture:
        await database.run("ALTER TABLE documents ADD COLUMN more text DEFAULT 'm'")
        await database.run("INSERT INTO documents (id, content) VALUES ('a', 'x')")
        (event,) = await events_now(capture)
        assert isinstance(event, Upsert)
        await database.run(
            "ALTER TABLE documents DROP COLUMN content",
            "INSERT INTO documents (id) VALUES ('b')",
            "DELETE FROM documents WHERE id = 'a'",
            "INSERT INTO notes VALUES (1, 'n')",
        )
        broken, deleted, note = await events_now(capture)
        assert isinstance(broken, Unprocessable)
        assert broken.key == DocumentKey("public.documents", ("b",))
        assert "no longer has the column 'content'" in broken.cause
        assert broken.payload["id"] == "b"
        assert isinstance(deleted, Delete)
        assert isinstance(note, Upsert)
        assert set(capture.broken_tables) == {"public.documents"}
        await database.run("ALTER TABLE documents ADD COLUMN content text", "UPDATE documents SET content = 'back'")
        (event,) = await events_now(capture)
        assert isinstance(event, Upsert)
        assert not capture.broken_tables


async def test_a_renamed_column_stops_the_table_even_with_a_column_list(database: Database) -> None:
    async with database.capture() as capture:
        await database.run(
            "ALTER TABLE documents RENAME COLUMN content TO body",
            "INSERT INTO documents (id, body) VALUES ('b', 'x')",
        )
        (broken,) = await events_now(capture)
        assert isinstance(broken, Unprocessable)
        assert "'content'" in capture.broken_tables["public.documents"]


async def test_a_renamed_key_column_still_gives_dead_letters_their_key(database: Database) -> None:
    async with database.capture() as capture:
        await database.run("ALTER TABLE documents RENAME COLUMN id TO code", "INSERT INTO documents VALUES ('b')")
        (broken,) = await events_now(capture)
    assert isinstance(broken, Unprocessable)
    assert broken.key == DocumentKey("public.documents", ("b",))


async def test_a_row_that_leaves_the_filter_is_deleted_and_one_that_enters_is_upserted(database: Database) -> None:
    from rtrag.domain.conditions import Condition  # noqa: PLC0415  used here alone

    public = Condition(field="extra", operator="eq", value="public")
    mapping = replace(DOCUMENTS, row_filter=(public,))
    await database.run(
        "INSERT INTO documents (id, content, extra) VALUES ('a', 'x', 'public'), ('b', 'x', 'private')",
        "INSERT INTO documents (id, content) VALUES ('c', 'x')",
    )
    async with database.capture(mapping) as capture:
        assert [row.key.values for row in await copied_rows(capture, size=1)] == [("a",)]
        read = await capture.rows.read([DocumentKey("public.documents", (key,)) for key in "abc"])
        assert [row.key.values for row in read.rows] == [("a",)]
        await database.run(
            "UPDATE documents SET extra = 'private' WHERE id = 'a'",
            "UPDATE documents SET extra = 'public' WHERE id = 'b'",
        )
        gone, came = await events_now(capture)
    assert isinstance(gone, Delete)
    assert gone.key.values == ("a",)
    assert isinstance(came, Upsert)
    assert came.key.values == ("b",)


async def test_bytes_that_are_not_text_become_dead_letters_and_block_nothing(server: Server) -> None:
    options = "ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"
    async with fresh_database(server, options) as database:
        await database.run(
            "CREATE TABLE documents (id text PRIMARY KEY, title text DEFAULT '', content text, metadata jsonb)",
            r"INSERT INTO documents VALUES ('copied', '', E'caf\xe9'), ('good', '', 'fine')",
        )
        async with database.capture() as capture:
            assert capture.snapshot is not None
            rejected, intact = await copied_changes(capture)
            assert isinstance(rejected, Unprocessable)
            assert (rejected.key.values, intact.key.values) == (("copied",), ("good",))
            read = await capture.rows.read([DocumentKey("public.documents", ("copied",))])
            assert "not UTF-8" in read.rejected[DocumentKey("public.documents", ("copied",))]
            await database.run(
                r"INSERT INTO documents VALUES ('a', '', E'caf\xe9')",
                r"INSERT INTO documents VALUES (E'k\xe9y', '', 'x')",
                "INSERT INTO documents VALUES ('b', '', 'fine')",
            )
            odd, odd_key, good = await events_now(capture)
            assert isinstance(odd_key, Unprocessable)
            assert str(odd_key.key) == "public.documents/k%E9y"
            again = await capture.rows.read([DocumentKey.parse(str(odd_key.key))])
            assert list(again.rejected) == [odd_key.key], "a replay has to find the row, not think that it is gone"
            assert await last_keys(capture, 2) == [("b",), ("good",), odd_key.key.values], "windows end at the last row"
    assert isinstance(odd, Unprocessable)
    assert "column 'content' holds bytes that are not UTF-8" in odd.cause
    assert odd.payload["content"] == r"caf\xe9"
    assert isinstance(good, Upsert)


async def last_keys(capture: PostgresCapture, size: int) -> list[tuple[str, ...]]:
    """The keys that the windows of a table end with."""
    found: list[tuple[str, ...]] = []
    after: DocumentKey | None = None
    async with asyncio.timeout(10):
        while (read := await capture.rows.page("public.documents", after, size)).last is not None:
            after = read.last
            found.append(after.values)
    return found


async def test_a_value_that_is_too_large_becomes_a_dead_letter_in_copy_stream_and_read(database: Database) -> None:
    await database.run(
        "INSERT INTO documents VALUES ('copied', '', repeat('x', 3000)), ('fine', '', repeat('x', 1000))"
    )
    async with database.capture(largest_value=2_000) as capture:
        copied, fine = await copied_changes(capture)
        await database.run("UPDATE documents SET content = repeat('y', 2000001)", "UPDATE documents SET content = 'z'")
        first, second, *mended = await events_now(capture)
        read = await capture.rows.read([DocumentKey("public.documents", ("fine",))])
    assert isinstance(fine, Upsert)
    assert len(read.rows) == 1
    for change, size in ((copied, 3_000), (first, 2_000_001), (second, 2_000_001)):
        assert isinstance(change, Unprocessable)
        assert f"column 'content' has {size} bytes, more than a document may have" in change.cause
        assert str(change.payload["content"]).endswith(f"… ({size} bytes)")
    assert [type(change) for change in mended] == [Upsert, Upsert]


async def test_a_lone_surrogate_in_json_becomes_a_dead_letter(database: Database) -> None:
    await database.run("ALTER TABLE documents ALTER metadata DROP DEFAULT, ALTER metadata TYPE json")
    async with database.capture() as capture:
        await database.run(r"""INSERT INTO documents VALUES ('a', '', 'x', '{"half": "\ud800"}')""")
        (event,) = await events_now(capture)
    assert isinstance(event, Unprocessable)
    assert "surrogate" in event.cause


async def test_two_phase_and_rolled_back_work_shows_only_what_was_committed(database: Database) -> None:
    async with database.capture() as capture:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO documents VALUES ('gone', '', 'x')")
            await connection.rollback()
            await connection.execute("INSERT INTO documents VALUES ('kept', '', 'x')")
            await connection.execute("SAVEPOINT s")
            await connection.execute("INSERT INTO documents VALUES ('undone', '', 'x')")
            await connection.execute("ROLLBACK TO SAVEPOINT s")
            await connection.commit()
        events = await events_now(capture)
    assert [event.key.values for event in events if isinstance(event, Upsert)] == [("kept",)]


async def test_the_stream_of_another_language_database_is_unicode_all_the_same(server: Server) -> None:
    async with fresh_database(server, "ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'") as database:
        async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as connection:
            await connection.execute("CREATE TABLE documents (id text PRIMARY KEY, content text)")
        async with database.capture(TableMapping(table="public.documents")) as capture:
            await database.run("INSERT INTO documents VALUES ('ä', 'café')")
            (event,) = await events_now(capture)
            read = await capture.rows.read([DocumentKey("public.documents", ("ä",))])
    assert isinstance(event, Upsert)
    assert event.draft.content == "café"
    assert read.rows == (event.draft,)

"""Changes as they stream: what arrives, in which order, with which positions."""

import asyncio

from integration.postgres.conftest import LIMITS, Database, copied_rows, events_now
from rtrag.domain.change import Delete, Truncate, Upsert
from rtrag.domain.document import MISSING, DocumentKey
from rtrag.domain.position import Position
from rtrag.ports.changes import ChangeSource, RowReader, SnapshotReader


def key(value: str) -> DocumentKey:
    return DocumentKey("public.documents", (value,))


async def test_insert_update_delete_and_truncate_arrive_in_order_with_rising_positions(database: Database) -> None:
    async with database.capture() as capture:
        source: ChangeSource = capture.source
        rows: RowReader = capture.rows
        snapshot: SnapshotReader | None = capture.snapshot
        assert rows is not None
        assert snapshot is not None
        assert source is not None
        await database.run(
            "INSERT INTO documents VALUES ('a', 'A', 'one', '{\"lang\": \"en\"}')",
            "UPDATE documents SET content = 'two' WHERE id = 'a'",
            "DELETE FROM documents WHERE id = 'a'",
            "TRUNCATE documents",
        )
        events = await events_now(capture)
    insert, update, delete, truncate = events
    assert isinstance(insert, Upsert)
    assert isinstance(update, Upsert)
    assert (insert.draft.title, insert.draft.content, insert.draft.metadata) == ("A", "one", {"lang": "en"})
    assert update.draft.content == "two"
    assert isinstance(delete, Delete)
    assert delete.key == key("a")
    assert isinstance(truncate, Truncate)
    assert truncate.table == "public.documents"
    positions = [event.position for event in events]
    assert positions == sorted(set(positions))
    assert all(event.commit_time is not None for event in events)


async def test_the_copy_and_the_stream_meet_without_gap_under_concurrent_writes(database: Database) -> None:
    await database.run("INSERT INTO documents SELECT 'old' || n, '', 'x' FROM generate_series(1, 500) n")
    stop = asyncio.Event()
    written: list[str] = []

    async def write(worker: int) -> None:
        number = 0
        async with database.transaction() as connection:
            while not stop.is_set():
                name = f"w{worker}-{number}"
                await connection.execute("INSERT INTO documents VALUES (%s, '', 'x')", (name,))
                await connection.commit()
                written.append(name)
                number += 1

    async with asyncio.TaskGroup() as group:
        for worker in range(4):
            group.create_task(write(worker))
        await asyncio.sleep(0.1)
        async with database.capture() as capture:
            copied = {row.key.values[0] for row in await copied_rows(capture, size=70)}
            await asyncio.sleep(0.1)
            stop.set()
            await asyncio.sleep(0.05)
            streamed = [event.key.values[0] for event in await events_now(capture) if isinstance(event, Upsert)]
    assert len(streamed) == len(set(streamed))
    assert copied.isdisjoint(streamed)
    assert copied | set(streamed) == {f"old{n}" for n in range(1, 501)} | set(written)
    assert any(name.startswith("w") for name in copied)
    assert streamed


async def test_each_commit_is_delivered_at_once_and_by_itself(database: Database) -> None:
    async with database.capture() as capture, database.transaction() as connection:
        await connection.set_autocommit(True)
        await events_now(capture)
        for number in range(50):
            await connection.execute("INSERT INTO documents VALUES (%s, '', 'x')", (str(number),))
            async with asyncio.timeout(10):
                batch = await capture.source.next_batch(LIMITS)
                while not batch.events:  # the server has told how far it is
                    batch = await capture.source.next_batch(LIMITS)
            (event,) = batch.events
            assert isinstance(event, Upsert)
            assert event.key == key(str(number))
            assert batch.checkpoint is not None


async def test_an_untouched_toast_value_is_missing_and_not_null(database: Database) -> None:
    await database.run(
        "ALTER TABLE documents ALTER content SET STORAGE EXTERNAL",
        "INSERT INTO documents VALUES ('a', 'A', repeat('long ', 10000))",
    )
    async with database.capture() as capture:
        await database.run("UPDATE documents SET title = 'B'")
        (event,) = await events_now(capture)
    assert isinstance(event, Upsert)
    assert event.draft.title == "B"
    assert event.draft.content is MISSING


async def test_with_full_replica_identity_nothing_is_missing(database: Database) -> None:
    await database.run(
        "ALTER TABLE documents REPLICA IDENTITY FULL",
        "ALTER TABLE documents ALTER content SET STORAGE EXTERNAL",
        "INSERT INTO documents VALUES ('a', 'A', repeat('long ', 10000))",
    )
    async with database.capture() as capture:
        await database.run("UPDATE documents SET title = 'B'", "UPDATE documents SET extra = 'not mapped'")
        first, second = await events_now(capture)
    assert isinstance(first, Upsert)
    assert isinstance(second, Upsert)
    assert first.draft.content == second.draft.content == "long " * 10000


async def test_a_key_change_is_a_delete_and_an_upsert_in_one_batch(database: Database) -> None:
    await database.run(
        "ALTER TABLE documents ALTER content SET STORAGE EXTERNAL",
        "INSERT INTO documents VALUES ('a', 'A', repeat('long ', 10000))",
    )
    async with database.capture() as capture:
        await database.run("UPDATE documents SET id = 'b'")
        delete, upsert = await events_now(capture)
    assert isinstance(delete, Delete)
    assert isinstance(upsert, Upsert)
    assert delete.key == key("a")
    assert (upsert.key, upsert.previous_key) == (key("b"), key("a"))
    assert upsert.draft.content is MISSING
    assert upsert.position.lsn == delete.position.lsn
    assert upsert.position > delete.position


async def test_copied_rows_stand_below_every_streamed_change(database: Database) -> None:
    await database.run("INSERT INTO documents VALUES ('a', 'A', 'one')")
    async with database.capture() as capture:
        (row,) = await copied_rows(capture)
        await database.run("UPDATE documents SET content = 'two'")
        (event,) = await events_now(capture)
    assert row.position == Position(1, 0, 0)
    assert event.position > row.position

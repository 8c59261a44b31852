"""Starting again: resuming without loss, and noticing every way in which history can be lost."""

from dataclasses import replace

import psycopg
import pytest

from integration.postgres.conftest import (
    DOCUMENTS,
    Database,
    Server,
    batches_until,
    copied_rows,
    events_now,
)
from rtrag.domain.change import Upsert
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError
from rtrag.domain.manifest import SourceState
from rtrag.domain.mapping import TableMapping

COPIED = {"public.documents": 1}


async def first_use(database: Database) -> SourceState:
    """Open once, read everything, confirm, close; the state as the application would have recorded it."""
    async with database.capture() as capture:
        assert capture.opening.copy
        assert not capture.opening.lost
        lsn = await capture.source.barrier()
        batches = await batches_until(capture, lsn)
        checkpoint = batches[-1].checkpoint
        assert checkpoint is not None
        await capture.source.confirm(checkpoint.lsn, 0)
        return replace(capture.opening.state, durable_lsn=checkpoint.lsn)


async def test_a_restart_resumes_after_the_last_confirmed_change_without_a_copy(database: Database) -> None:
    state = await first_use(database)
    await database.run("INSERT INTO documents VALUES ('while-away', '', 'x')")
    async with database.capture(state=state, copied=COPIED) as capture:
        assert not capture.opening.copy
        assert capture.snapshot is None
        events = await events_now(capture)
    assert [event.key.values for event in events if isinstance(event, Upsert)] == [("while-away",)]


async def test_what_was_not_confirmed_is_delivered_again_with_the_same_positions(database: Database) -> None:
    state = await first_use(database)
    await database.run("INSERT INTO documents SELECT n::text, '', 'x' FROM generate_series(1, 5) n")
    async with database.capture(state=state, copied=COPIED) as capture:
        before = await events_now(capture)
    async with database.capture(state=state, copied=COPIED) as capture:
        after = await events_now(capture)
    assert before == after
    assert len(before) == 5


async def test_a_missing_slot_is_a_loss(database: Database) -> None:
    state = await first_use(database)
    await database.drop_slots()
    async with database.capture(state=state, copied=COPIED) as capture:
        assert capture.opening.copy
        assert capture.opening.lost
        assert capture.opening.state.epoch == 2
        assert "is gone" in (capture.opening.reason or "")


async def test_a_slot_ahead_of_what_is_durable_here_is_a_loss(database: Database) -> None:
    state = await first_use(database)
    await database.run("INSERT INTO documents VALUES ('skipped', '', 'x')")
    await database.query("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (database.slot,))
    async with database.capture(state=state, copied=COPIED) as capture:
        assert capture.opening.lost
        assert "ahead" in (capture.opening.reason or "")
        assert [row.key.values for row in await copied_rows(capture)] == [("skipped",)]


async def test_a_slot_that_the_server_invalidated_is_a_loss(database: Database, server: Server) -> None:
    if not server.own:
        pytest.skip("changes settings of the server")
    state = await first_use(database)
    await set_limit(server, "1MB")
    try:
        await lose_slot(database)
        async with database.capture(state=state, copied=COPIED) as capture:
            assert capture.opening.lost
            assert "lost" in (capture.opening.reason or "")
            await database.run("INSERT INTO documents VALUES ('on', '', 'again')")
            assert len(await events_now(capture)) == 1
    finally:
        await set_limit(server, "-1")


async def set_limit(server: Server, size: str) -> None:
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await connection.execute(f"ALTER SYSTEM SET max_slot_wal_keep_size = '{size}'".encode())
        await connection.execute("SELECT pg_reload_conf()")


async def lose_slot(database: Database) -> None:
    query = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s"
    for _ in range(20):
        await database.query("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 9000000))")
        await database.query("SELECT pg_switch_wal()")
        await database.run("CHECKPOINT")
        if (await database.query(query, (database.slot,)))[0][0] == "lost":
            return
    pytest.fail("the slot was not lost")


async def test_another_server_or_timeline_begins_a_new_epoch(database: Database) -> None:
    state = replace(await first_use(database), timeline=7, epoch=3)
    async with database.capture(state=state, copied={"public.documents": 3}) as capture:
        assert capture.opening.lost
        assert capture.opening.state.epoch == 4
        assert capture.opening.state.timeline != 7


async def test_an_interrupted_copy_is_begun_again(database: Database) -> None:
    await database.run("INSERT INTO documents VALUES ('a', '', 'x')")
    state = await first_use(database)
    async with database.capture(state=state, copied={"public.documents": 0}) as capture:
        assert capture.opening.copy
        assert not capture.opening.lost
        assert capture.opening.state.epoch == 2
        assert len(await copied_rows(capture)) == 1


async def test_a_table_added_to_the_configuration_is_published_and_copied(database: Database) -> None:
    state = await first_use(database)
    await database.run("CREATE TABLE notes (id int PRIMARY KEY, content text)", "INSERT INTO notes VALUES (1, 'n')")
    notes = TableMapping(table="public.notes")
    async with database.capture(DOCUMENTS, notes, state=state, copied=COPIED) as capture:
        assert capture.opening.copy
        assert not capture.opening.lost
        assert "public.notes" in (capture.opening.reason or "")
        assert [row.key.values for row in await copied_rows(capture, "public.notes")] == [("1",)]
        await database.run("UPDATE notes SET content = 'm'")
        assert len(await events_now(capture)) == 1


async def test_a_table_removed_from_the_configuration_is_no_longer_published(database: Database) -> None:
    await database.run("CREATE TABLE notes (id int PRIMARY KEY, content text)")
    notes = TableMapping(table="public.notes")
    async with database.capture(DOCUMENTS, notes) as capture:
        state = capture.opening.state
    async with database.capture(state=state, copied={"public.documents": 1, "public.notes": 1}) as capture:
        assert not capture.opening.copy
    assert await database.query("SELECT tablename FROM pg_publication_tables") == [("documents",)]


async def test_a_publication_that_lost_a_table_is_mended_and_counts_as_loss(database: Database) -> None:
    state = await first_use(database)
    await database.run(
        "CREATE TABLE other (id int PRIMARY KEY)",
        "ALTER PUBLICATION rtrag SET TABLE other",
        "INSERT INTO documents VALUES ('unseen', '', 'x')",
    )
    async with database.capture(state=state, copied=COPIED) as capture:
        assert capture.opening.lost
        assert "not in the publication" in (capture.opening.reason or "")
        assert len(await copied_rows(capture)) == 1


async def test_a_publication_changed_while_running_shows_as_broken_table(database: Database) -> None:
    async with database.capture() as capture:
        await capture.slot_health()
        assert not capture.broken_tables
        await database.run("ALTER PUBLICATION rtrag DROP TABLE documents")
        await capture.slot_health()
        assert "no longer carries it" in capture.broken_tables["public.documents"]


async def test_a_publication_of_somebody_else_is_never_changed(database: Database) -> None:
    await database.run(
        "CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION rtrag FOR TABLE other WITH (publish = 'insert')"
    )
    with pytest.raises(ConfigurationError, match="was not made by rtrag") as caught:
        async with database.capture():
            pass
    await database.run(*[f"{part};" for part in caught.value.fix.partition("run: ")[2].split(";")[:-1]])
    async with database.capture():
        await database.run("INSERT INTO documents VALUES ('a', '', 'x')")
    tables = await database.query("SELECT tablename::text FROM pg_publication_tables ORDER BY 1")
    assert tables == [("documents",), ("other",)]


async def test_a_slot_in_use_elsewhere_is_not_taken_away(database: Database) -> None:
    async with database.capture() as capture:
        state = capture.opening.state
        with pytest.raises(ConfigurationError, match=r"is in use by process \d+, role .* application rtrag"):
            async with database.capture(slot_patience=0.1):
                pass
        with pytest.raises(ServiceUnavailableError, match="pg_terminate_backend"):
            async with database.capture(state=state, copied=COPIED, slot_patience=0.1):
                pass
        await database.run("INSERT INTO documents VALUES ('a', '', 'x')")
        assert len(await events_now(capture)) == 1


async def test_a_slot_of_another_kind_is_refused(database: Database) -> None:
    await database.query("SELECT pg_create_physical_replication_slot(%s)", (database.slot,))
    try:
        with pytest.raises(ConfigurationError, match="belongs to something else"):
            async with database.capture():
                pass
    finally:
        await database.query("SELECT pg_drop_replication_slot(%s)", (database.slot,))


async def test_an_open_writing_transaction_delays_the_slot_only_for_so_long(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO documents VALUES ('open', '', 'x')")
        times = replace(database.settings().times, create_slot=0.3)
        with pytest.raises(ServiceUnavailableError, match="still running"):
            async with database.capture(times=times):
                pass
        await connection.rollback()


async def test_slot_health_tells_what_the_slot_holds_back(database: Database) -> None:
    async with database.capture() as capture:
        await database.query("SELECT pg_logical_emit_message(true, 'x', repeat('x', 500000))")
        health = await capture.slot_health()
    assert health["wal_status"] == "reserved"
    assert isinstance(health["retained_bytes"], int)
    assert health["retained_bytes"] > 500_000
    assert health["active"] is True


async def test_rows_can_be_copied_when_the_stream_already_runs(database: Database) -> None:
    await database.run("INSERT INTO documents SELECT n::text, '', 'x' FROM generate_series(1, 300) n")
    async with database.capture() as capture:
        await database.run("INSERT INTO documents VALUES ('late', '', 'x')")
        assert len(await events_now(capture)) == 1
        assert capture.snapshot is not None
        assert await capture.snapshot.estimate("public.documents") > 0
        assert len(await copied_rows(capture, size=100)) == 300

"""The engine: what a capture is opened with, reopening it, and tables that are no longer configured."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from application_bench import TABLE, Bench, key, upsert
from engine_bench import Running
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError, SourceInterruptedError
from rtrag.domain.manifest import (
    ChunkPoint,
    Manifest,
    PutTableState,
    SourceState,
    SwitchManifest,
    TableState,
    UpsertChunks,
)
from rtrag.domain.position import Position
from rtrag.ports.changes import Capture
from rtrag.testing.source import ScriptedCapture, ScriptedSource

NOTE = DocumentKey("public.notes", ("1",))


async def test_an_interrupted_stream_is_opened_again_and_a_replay_changes_nothing() -> None:
    first, second = ScriptedSource(), ScriptedSource()
    running = Running([ScriptedCapture(first), ScriptedCapture(second)])
    async with running.run():
        first.commit(10, upsert(10, "a", "text"))
        first.fail(SourceInterruptedError("cable cut"))
        second.commit(10, upsert(10, "a", "text"))
        second.commit(20, upsert(20, "a", "newer"))
        await running.until(lambda: second.acknowledged >= 20)
        assert await running.bench.content("a") == "newer"
        assert running.bench.totals.snapshot()["reconnects"] == 1


async def test_a_configuration_error_at_the_start_ends_the_engine() -> None:
    running = Running([])

    @asynccontextmanager
    async def refuse(_recorded: SourceState | None, _copied: Mapping[str, int]) -> AsyncIterator[Capture]:
        raise ConfigurationError("wal_level is replica", fix="set it to logical")
        yield

    object.__setattr__(running.engine._parts, "open_capture", refuse)
    with pytest.raises(ConfigurationError, match="wal_level"):
        await running.engine.run()


async def with_notes() -> Bench:
    """An index of two tables, both copied: a document of the configured one and one of ``public.notes``."""
    bench = Bench()
    await bench.apply(upsert(5, "a", "text"))
    note = Manifest(key=NOTE, position=Position(1, 6, 0))
    copied = [PutTableState(state=TableState(table=table, copied_epoch=1)) for table in (TABLE, NOTE.table)]
    await bench.index.write([SwitchManifest(manifest=note, replaces=None), *copied])
    return bench


async def test_documents_of_a_table_that_is_no_longer_configured_are_hidden_and_forgotten_and_others_stay() -> None:
    bench = await with_notes()
    running = Running([ScriptedCapture(ScriptedSource())], bench)
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        tables = (await running.index.records((), (TABLE, NOTE.table))).tables
        assert tables[TABLE] == TableState(table=TABLE, copied_epoch=1)
        floor = tables[NOTE.table].floor
        assert floor is not None
        assert Position(1, 6, 0) < floor < Position.copied(2), "the table may return in a later epoch"
        await running.until(lambda: NOTE not in running.index._manifests)
        assert await bench.content("a") == "text"


async def test_a_table_that_returns_to_the_configuration_counts_as_never_copied() -> None:
    bench = await with_notes()
    without = Running([ScriptedCapture(ScriptedSource())], bench)
    async with without.run():
        await without.until(lambda: without.engine.phase == "live")
    again = Running([ScriptedCapture(ScriptedSource())], bench, tables=(TABLE, NOTE.table))
    async with again.run():
        await again.until(lambda: again.engine.phase == "live")
    assert [copied for _, copied in without.opened] == [{TABLE: 1}]
    assert [copied for _, copied in again.opened] == [{TABLE: 1, NOTE.table: 0}]


async def test_what_a_new_epoch_of_the_stream_does_not_bring_again_is_hidden_once_it_has_brought_all() -> None:
    bench = Bench()
    await bench.apply(upsert(5, "gone", "deleted while nobody looked"), upsert(6, "kept", "text"))
    source = ScriptedSource()
    running = Running([ScriptedCapture(source, epoch=2, copies=True)], bench)
    async with running.run():
        copied = upsert(0, "kept", "text of the new epoch")
        source.part(replace(copied, position=Position(2, 0, 7)))
        await running.until(lambda: running.engine.phase == "live")
        await running.until(lambda: key("gone") not in running.index._manifests)
        assert await bench.content("kept") == "text of the new epoch"
        assert (await running.index.records((), (TABLE,))).tables[TABLE].copied_epoch == 2


async def test_tables_that_another_process_has_in_a_shared_index_are_left_alone() -> None:
    running = Running([ScriptedCapture(ScriptedSource())], shared=True)
    note = Manifest(key=NOTE, position=Position(1, 5, 0))
    await running.index.write(
        [
            PutTableState(state=TableState(table=NOTE.table, copied_epoch=1)),
            SwitchManifest(manifest=note, replaces=None),
        ]
    )
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        assert (await running.index.records([NOTE], [NOTE.table])).tables[NOTE.table].floor is None


async def test_what_a_killed_worker_has_left_in_a_shared_index_is_swept_once_later_changes_are_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtrag.application.engine.ORPHANS_SECONDS", 0.01)
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)], shared=True)
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        left = ChunkPoint(
            id="00000000-0000-4000-8000-000000000001", key=key("a"), text="left", title="", heading_path=(),
            kind="body", filterable={}, position=Position(1, 20, 0), dense=None,
        )  # fmt: skip
        repaired = replace(left, id="00000000-0000-4000-8000-000000000002", key=key("not yet switched to"))
        await running.index.write([UpsertChunks(points=(left, repaired))])
        source.commit(30, upsert(30, "a", "newer"))
        await running.until(lambda: left.id not in running.index._chunks)
        assert await running.bench.content("a") == "newer"
        assert repaired.id in running.index._chunks, "a repair is about to list it"


async def test_a_stream_that_breaks_off_at_once_is_opened_again_with_growing_delays() -> None:
    sources = [ScriptedSource() for _ in range(5)]
    for source in sources[:-1]:
        source.fail(ConfigurationError("the key is refused", fix="set another one"))
    running = Running([ScriptedCapture(source) for source in sources])
    begun = time.monotonic()
    async with running.run():
        await running.until(lambda: len(running.opened) == len(sources))
    assert time.monotonic() - begun > 0.7, "half of 0.1 + 0.2 + 0.4 + 0.8 s; four times 0.1 s would be over before"

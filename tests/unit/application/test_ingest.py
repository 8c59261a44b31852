"""The ingest loop: what is acknowledged when, and what happens on failures."""

import asyncio
from collections.abc import Sequence

import pytest

from application_bench import TABLE, Bench, delete, draft, key, upsert
from engine_bench import Running
from rtrag.domain.change import Delete, Truncate, Upsert
from rtrag.domain.errors import (
    ConfigurationError,
    DeadLetterOpenError,
    FreshnessTimeoutError,
    TransientError,
)
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.manifest import Operation, SwitchManifest
from rtrag.domain.position import Position
from rtrag.testing.index import InMemoryIndex
from rtrag.testing.source import ScriptedCapture, ScriptedSnapshot, ScriptedSource


async def test_a_change_is_acknowledged_only_after_a_flush() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    async with running.run():
        flushed = running.index.flushes
        source.commit(10, upsert(10, "a", "text"))
        await running.until(lambda: source.acknowledged >= 10)
        assert running.index.flushes > flushed
        assert (await running.index.source("postgres")).durable_lsn >= 10  # type: ignore[union-attr]


async def test_a_failed_flush_is_not_acknowledged() -> None:
    class FullDisk(InMemoryIndex):
        full = False

        async def flush(self) -> None:
            if self.full:
                raise TransientError("disk full")
            await super().flush()

    source = ScriptedSource()
    index = FullDisk()
    running = Running([ScriptedCapture(source)], Bench(index=index))
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        index.full = True
        source.commit(100, upsert(100, "a", "text"))
        await running.until(lambda: any("disk full" in problem for problem in running.problems.all()))
        assert source.acknowledged < 100
        index.full = False
        await running.until(lambda: source.acknowledged >= 100)
        assert running.problems.all() == ()


async def test_part_of_a_transaction_is_indexed_but_not_acknowledged() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        before = running.freshness.visible_lsn
        source.part(upsert(100, "a", "text"))
        await running.until(lambda: bool(running.bench.embedder.texts))
        assert running.freshness.visible_lsn == before
        source.commit(100, upsert(100, "b", "more"))
        await running.until(lambda: source.acknowledged >= 100)
        assert await running.bench.content("a") == "text"


async def test_the_marks_of_a_stream_without_an_order_are_confirmed_when_their_batches_are_durable() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        mark = source.part(upsert(20, "a", "text"), upsert(10, "b", "other text"))
        await running.until(lambda: source.mark == mark)
        assert await running.bench.content("a") == "text"
        assert await running.bench.content("b") == "other text"


async def test_a_document_whose_embedding_keeps_failing_becomes_a_letter_and_the_others_go_on() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    embed = running.bench.embedder.embed

    async def flaky(texts: list[str], *, input_type: str) -> object:
        if any("cursed" in text for text in texts):
            raise TransientError("timeout")
        return await embed(texts, input_type=input_type)  # type: ignore[arg-type]

    running.bench.embedder.embed = flaky  # type: ignore[method-assign, assignment]
    async with running.run():
        source.commit(10, upsert(10, "a", "cursed"), upsert(10, "b", "fine"))
        await running.until(lambda: source.acknowledged >= 10)
        assert await running.bench.content("b") == "fine"
        assert list(running.bench.letters.letters) == [key("a")]
        source.commit(20, upsert(20, "a", "mended"))
        await running.until(lambda: not running.bench.letters.letters)


async def test_an_embedder_that_is_down_is_waited_for_and_nothing_becomes_a_letter() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    running.bench.embedder.fail_next(*[TransientError("down")] * 12)
    async with running.run():
        source.commit(10, upsert(10, "a", "text"))
        await running.until(lambda: source.acknowledged >= 10)
        assert not running.bench.letters.letters
        assert await running.bench.content("a") == "text"


async def test_copied_rows_lie_below_live_changes_and_deleted_documents_disappear() -> None:
    source = ScriptedSource()
    bench = Bench()
    await bench.apply(upsert(50, "gone", "deleted while nobody looked"), upsert(51, "kept", "as before"))
    page = [
        Upsert(position=Position.copied(2), draft=draft("kept", "as before")),
        Upsert(position=Position.copied(2), draft=draft("a", "copied, but older")),
    ]
    capture = ScriptedCapture(source, epoch=2, snapshot=ScriptedSnapshot({TABLE: [page]}))
    running = Running([capture], bench)
    live = Upsert(position=Position(2, 10, 0), draft=draft("a", "live"))
    source.commit(10, live)
    embedded = len(bench.embedder.texts)
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        assert [await bench.content(name) for name in ("gone", "kept", "a")] == [None, "as before", "live"]
        assert "as before" not in bench.embedder.texts[embedded:]
    assert running.opened[0] == (None, {TABLE: 0})


async def test_nothing_is_claimed_to_be_visible_while_the_copy_runs() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source, snapshot=ScriptedSnapshot({TABLE: []}))])
    assert running.freshness.visible_lsn == 0
    running.freshness.begin(epoch=1, lsn=5, copying=True, stale_reason="first use")
    assert running.freshness.as_of().stale_reason == "first use"
    assert not await running.freshness.wait_position(5, 0.01)
    running.freshness.copied()
    assert await running.freshness.wait_position(5, 0.01)


async def test_truncate_hides_at_once_and_clean_up_forgets() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    async with running.run():
        source.commit(10, upsert(10, "a", "text"), upsert(10, "b", "text"))
        source.commit(20, Truncate(position=Position(1, 20, 0), table=TABLE))
        source.commit(30, upsert(30, "b", "after"))
        await running.until(lambda: source.acknowledged >= 30)
        assert [await running.bench.content(name) for name in "ab"] == [None, "after"]
        await running.until(lambda: key("a") not in running.index._manifests)
        assert len(running.index._chunks) == 1


async def test_a_token_of_a_document_waits_for_its_manifest() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        asked = asyncio.create_task(running.gate.wait(FreshnessToken(lsn=99, key=key("a")), 5))
        await asyncio.sleep(0)
        source.commit(101, upsert(100, "a", "text"))
        await asked
        assert await running.bench.content("a") == "text"


async def test_a_token_of_a_document_with_a_dead_letter_gets_an_error() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    running.bench.embedder.refuse(lambda text: "poison" in text)
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        source.commit(101, upsert(100, "a", "poison"))
        with pytest.raises(DeadLetterOpenError, match=r"public.documents/a"):
            await running.gate.wait(FreshnessToken(lsn=99, key=key("a")), 5)


async def test_a_position_beyond_the_last_commit_is_reached_by_a_barrier() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        await running.gate.wait(FreshnessToken(lsn=source.lsn + 1), 5)


async def test_a_token_that_is_not_reached_in_time_gets_an_error() -> None:
    running = Running([ScriptedCapture(ScriptedSource())])
    async with running.run():
        with pytest.raises(FreshnessTimeoutError, match="within 20 ms"):
            await running.gate.wait(FreshnessToken(lsn=10_000), 0.02)


async def test_an_outage_makes_no_letters_even_where_other_documents_of_the_batch_need_no_embedding() -> None:
    source = ScriptedSource()
    running = Running([ScriptedCapture(source)])
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        source.commit(10, upsert(10, "b", "text"))
        await running.until(lambda: source.acknowledged >= 10)
        running.bench.embedder.fail_next(*[TransientError("down")] * 9)
        source.commit(20, upsert(20, "a", "new text"), delete(20, "b"))
        await running.until(lambda: source.acknowledged >= 20)
        assert not running.bench.letters.letters
        assert [await running.bench.content(name) for name in "ab"] == ["new text", None]


async def test_an_older_success_does_not_close_a_newer_letter() -> None:
    source = ScriptedSource()
    page = [Upsert(position=Position.copied(1), draft=draft("a", "as copied"))]
    running = Running([ScriptedCapture(source, snapshot=ScriptedSnapshot({TABLE: [page]}))])
    running.bench.embedder.refuse(lambda text: "poison" in text)
    source.commit(100, upsert(100, "a", "poison"))
    async with running.run():
        await running.until(lambda: running.engine.phase == "live" and source.acknowledged >= 100)
        await asyncio.sleep(0.05)
        assert await running.bench.content("a") == "as copied"
        assert list(running.bench.letters.letters) == [key("a")]


async def test_side_work_that_cannot_be_done_says_so_instead_of_hanging() -> None:
    running = Running([ScriptedCapture(ScriptedSource())])
    with pytest.raises(TransientError, match="Nothing is being indexed"):
        await running.ingest.submit([upsert(1, "a", "text")])


def copied(name: str, content: str) -> Upsert:
    """A row of a copy into epoch 2."""
    return Upsert(position=Position.copied(2), draft=draft(name, content))


async def test_a_live_delete_is_visible_and_acknowledged_while_a_page_of_a_copy_waits_for_the_embedder() -> None:
    source = ScriptedSource()
    bench = Bench()
    await bench.apply(upsert(50, "gone", "text"))
    snapshot = ScriptedSnapshot({TABLE: [[copied("a", "first page")], [copied("b", "second page")]]})
    running = Running([ScriptedCapture(source, epoch=2, snapshot=snapshot)], bench)
    bench.embedder.fail_next(*[TransientError("down")] * 10_000)
    asked = bench.embedder.calls
    async with running.run():
        await running.until(lambda: bench.embedder.calls > asked + 8)  # long past the attempts for a whole page
        source.commit(10, Delete(position=Position(2, 10, 0), key=key("gone")))
        await running.until(lambda: source.acknowledged >= 10)
        assert await bench.content("gone") is None
        assert (running.engine.phase, await bench.content("a")) == ("copying", None)
        assert any("down" in problem for problem in running.problems.all())
        bench.embedder._failures.clear()
        await running.until(lambda: running.engine.phase == "live")
        assert [await bench.content(name) for name in "ab"] == ["first page", "second page"]
        assert not bench.letters.letters
        assert running.problems.all() == ()


async def test_a_copied_document_that_cannot_pass_becomes_a_letter_and_the_copy_goes_on() -> None:
    page = [copied("a", "cursed"), copied("b", "fine")]
    running = Running([ScriptedCapture(ScriptedSource(), epoch=2, snapshot=ScriptedSnapshot({TABLE: [page]}))])
    embed = running.bench.embedder.embed

    async def flaky(texts: list[str], *, input_type: str) -> object:
        if any("cursed" in text for text in texts):
            raise TransientError("timeout")
        return await embed(texts, input_type=input_type)  # type: ignore[arg-type]

    running.bench.embedder.embed = flaky  # type: ignore[method-assign, assignment]
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        assert [await running.bench.content(name) for name in "ab"] == [None, "fine"]
        letters = running.bench.letters.letters
        assert {name: letter.attempts for name, letter in letters.items()} == {key("a"): 2}


async def test_a_page_of_a_copy_whose_writing_fails_is_written_later() -> None:
    class Unwilling(InMemoryIndex):
        refusals = 0

        async def write(self, operations: Sequence[Operation]) -> None:
            if self.refusals and any(isinstance(operation, SwitchManifest) for operation in operations):
                self.refusals -= 1
                raise TransientError("disk full")
            await super().write(operations)

    index = Unwilling()
    index.refusals = 7
    snapshot = ScriptedSnapshot({TABLE: [[copied("a", "first page")], [copied("b", "second page")]]})
    running = Running([ScriptedCapture(ScriptedSource(), epoch=2, snapshot=snapshot)], Bench(index=index))
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        assert [await running.bench.content(name) for name in "ab"] == ["first page", "second page"]
    assert (index.refusals, running.bench.totals.snapshot()["reconnects"]) == (0, 0)


async def test_side_work_that_waits_for_the_embedder_is_told_when_indexing_stops() -> None:
    running = Running([ScriptedCapture(ScriptedSource())])
    async with running.run():
        await running.until(lambda: running.engine.phase == "live")
        running.bench.embedder.fail_next(*[TransientError("down")] * 10_000)
        submitted = [
            asyncio.create_task(running.ingest.submit([upsert(number, "a", f"text {number}")])) for number in range(5)
        ]
        await running.until(lambda: running.bench.embedder.calls > 8)
        running.engine.stop()
        for result in await asyncio.gather(*submitted, return_exceptions=True):
            assert isinstance(result, TransientError)
            assert "try again" in str(result)


async def test_an_embedder_that_cannot_be_configured_ends_the_stream_also_when_only_a_copy_needs_it() -> None:
    source = ScriptedSource()
    snapshot = ScriptedSnapshot({TABLE: [[copied("a", "text")]]})
    running = Running([ScriptedCapture(source, epoch=2, snapshot=snapshot)])
    running.bench.embedder.fail_next(ConfigurationError("the key is refused", fix="set another"))
    async with running.run():
        await running.until(lambda: any("the key is refused" in problem for problem in running.problems.all()))
        await running.until(lambda: running.engine.phase == "live")
        assert await running.bench.content("a") == "text"

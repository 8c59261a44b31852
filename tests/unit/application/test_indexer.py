"""The indexer: what it embeds, what it keeps, and that the order of arrival does not matter."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application_bench import TABLE, Bench, delete, draft, key, upsert
from rtrag.application.orphans import sweep_orphans
from rtrag.domain.change import Delete, Unprocessable, Upsert
from rtrag.domain.document import MISSING
from rtrag.domain.errors import EmbeddingUnavailableError, TransientError
from rtrag.domain.manifest import PutTableState, SweepChunks, TableState, UpsertChunks
from rtrag.domain.position import Position

PARAGRAPHS = [f"Paragraph {n}. " + f"word{n} " * 90 for n in range(6)]
contents = st.lists(st.sampled_from(PARAGRAPHS), max_size=5).map("\n\n".join)
metadata = st.sampled_from([{}, {"group": "a"}, {"group": "b"}])
titles = st.sampled_from(["", "One", "Two"])


@st.composite
def histories(draw: st.DrawFn) -> list[Upsert | Delete]:
    """Changes of a few documents with rising positions."""
    changes: list[Upsert | Delete] = []
    for lsn in range(1, draw(st.integers(2, 8))):
        name = draw(st.sampled_from("ab"))
        if draw(st.booleans()) or not any(change.key == key(name) for change in changes):
            changes.append(upsert(lsn, name, draw(contents), title=draw(titles), metadata=draw(metadata)))
        else:
            changes.append(delete(lsn, name))
    return changes


async def afresh(changes: Sequence[Upsert | Delete]) -> dict[str, object]:
    """The state of an index that saw only each document's newest change."""
    bench = Bench()
    newest = {change.key: change for change in sorted(changes, key=lambda c: c.position)}
    for change in newest.values():
        await bench.apply(change)
    return await bench.state()


@settings(max_examples=60, deadline=None)
@given(history=histories())
def test_applying_changes_one_by_one_equals_building_the_newest_afresh(history: list[Upsert | Delete]) -> None:
    async def run() -> None:
        bench = Bench()
        for change in history:
            await bench.apply(change)
        assert await bench.state() == await afresh(history)

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(history=histories(), data=st.data())
def test_any_order_with_repeats_ends_in_the_newest(history: list[Upsert | Delete], data: st.DataObject) -> None:
    repeats = data.draw(st.lists(st.sampled_from(history), max_size=4))
    shuffled = data.draw(st.permutations(history + repeats))

    async def run() -> None:
        bench = Bench()
        for change in shuffled:
            await bench.apply(change)
        assert await bench.state() == await afresh(history)

    asyncio.run(run())


@settings(max_examples=40, deadline=None)
@given(history=histories(), cut=st.integers(1, 4))
def test_micro_batches_of_any_size_give_the_same_index(history: list[Upsert | Delete], cut: int) -> None:
    async def run() -> None:
        bench = Bench()
        for start in range(0, len(history), cut):
            await bench.apply(*history[start : start + cut])
        assert await bench.state() == await afresh(history)

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(history=histories())
def test_a_text_that_the_document_has_already_is_never_embedded_again(history: list[Upsert | Delete]) -> None:
    async def run() -> None:
        bench = Bench(memo_entries=0)
        for change in history:
            before = set(await bench.content(change.key.values[0]) or "")
            points = [p async for page in bench.index.all_chunks() for p in page if p.key == change.key]
            had = {f"{p.title}\n{p.text.strip()}" if p.title else p.text.strip() for p in points}
            given_before = len(bench.embedder.texts)
            await bench.apply(change)
            assert before is not None
            assert not had & set(bench.embedder.texts[given_before:])

    asyncio.run(run())


async def test_the_embedding_memo_makes_a_rename_free() -> None:
    bench = Bench()
    await bench.apply(upsert(1, "a", PARAGRAPHS[0], title="T"))
    embedded = bench.embedder.characters
    renamed = Upsert(position=Position(1, 2, 1), draft=draft("b", MISSING, title="T"), previous_key=key("a"))
    await bench.apply(Delete(position=Position(1, 2, 0), key=key("a")), renamed)
    assert await bench.content("b") == PARAGRAPHS[0]
    assert await bench.content("a") is None
    assert bench.embedder.characters == embedded


async def test_a_rename_takes_its_vectors_from_the_old_points_without_an_embedding_memo() -> None:
    bench = Bench(memo_entries=0)
    await bench.apply(upsert(1, "a", PARAGRAPHS[0], title="T"))
    embedded = bench.embedder.characters
    renamed = Upsert(position=Position(1, 2, 1), draft=draft("b", PARAGRAPHS[0], title="T"), previous_key=key("a"))
    await bench.apply(Delete(position=Position(1, 2, 0), key=key("a")), renamed)
    assert await bench.content("b") == PARAGRAPHS[0]
    assert bench.embedder.characters == embedded


async def test_changed_filterable_metadata_switches_to_new_points_without_embedding() -> None:
    bench = Bench(memo_entries=0)
    await bench.apply(upsert(1, "a", PARAGRAPHS[0], metadata={"group": "a"}))
    embedded = bench.embedder.characters
    await bench.apply(upsert(2, "a", PARAGRAPHS[0], metadata={"group": "b"}))
    points = [p async for page in bench.index.all_chunks() for p in page]
    assert [p.filterable for p in points] == [{"group": "b"}]
    assert bench.embedder.characters == embedded


async def test_an_update_without_the_text_keeps_the_indexed_text() -> None:
    bench = Bench()
    await bench.apply(upsert(1, "a", PARAGRAPHS[0], title="Old"))
    await bench.apply(upsert(2, "a", MISSING, title="New"))
    assert await bench.content("a") == PARAGRAPHS[0]
    assert (await bench.index.records([key("a")])).manifests[key("a")].title == "New"
    assert bench.rows.reads == []


async def test_an_update_without_the_text_of_a_document_not_indexed_reads_the_row() -> None:
    bench = Bench()
    bench.rows.rows[key("a")] = draft("a", "from the row")
    await bench.apply(upsert(2, "a", MISSING))
    assert await bench.content("a") == "from the row"


async def test_an_update_without_the_text_of_a_document_with_an_open_letter_reads_the_row() -> None:
    bench = Bench()
    await bench.apply(upsert(1, "a", "indexed text"))
    broken = Unprocessable(position=Position(1, 2, 0), key=key("a"), cause="odd bytes", payload={"content": "?"})
    await bench.indexer.apply([broken], bench.rows)
    bench.rows.rows[key("a")] = draft("a", "mended text")
    await bench.apply(upsert(3, "a", MISSING))
    assert await bench.content("a") == "mended text"


async def test_a_document_over_the_limit_becomes_a_dead_letter_and_blocks_no_other() -> None:
    bench = Bench(max_bytes=100)
    await bench.apply(upsert(1, "a", "x" * 101), upsert(2, "b", "short"))
    assert await bench.content("b") == "short"
    assert list(bench.letters.letters) == [key("a")]
    assert "101 bytes" in bench.letters.letters[key("a")].cause


async def test_a_text_that_cannot_be_embedded_is_a_dead_letter_of_its_document_alone() -> None:
    bench = Bench()
    bench.embedder.refuse(lambda text: "poison" in text)
    await bench.apply(upsert(1, "a", "poison"), upsert(2, "b", "fine"))
    assert await bench.content("b") == "fine"
    assert list(bench.letters.letters) == [key("a")]


async def test_an_embedder_that_is_away_loses_nothing() -> None:
    bench = Bench()
    bench.embedder.fail_next(TransientError("away"))
    with pytest.raises(EmbeddingUnavailableError):
        await bench.apply(upsert(1, "a", "text"))
    await bench.apply(upsert(1, "a", "text"))
    assert await bench.content("a") == "text"


async def test_a_change_below_the_floor_of_its_table_is_refused() -> None:
    bench = Bench()
    floor = TableState(table=TABLE, floor=Position(1, 5, 0))
    await bench.index.write([PutTableState(state=floor)])
    await bench.apply(upsert(4, "a", "late"), upsert(6, "b", "new"))
    assert await bench.content("a") is None
    assert await bench.content("b") == "new"


async def test_rewrite_restores_a_chunk_that_the_index_lost() -> None:
    bench = Bench()
    await bench.apply(upsert(1, "a", "text"))
    expected = await bench.state()
    index = bench.index
    index._chunks.clear()  # type: ignore[attr-defined]
    await bench.indexer.apply([upsert(2, "a", "text")], bench.rows, rewrite=True)
    assert await bench.state() == expected


async def test_chunks_that_a_crash_left_unlisted_are_swept_and_those_of_a_switch_under_way_are_not() -> None:
    bench = Bench()
    await bench.apply(upsert(5, "a", "text"))
    expected = await bench.state()
    [point] = [point async for page in bench.index.all_chunks() for point in page]
    left = replace(point, id="00000000-0000-5000-8000-000000000001", position=Position(1, 4, 0))
    coming = replace(point, id="00000000-0000-5000-8000-000000000002", position=Position(1, 6, 0))
    await bench.index.write([UpsertChunks(points=(left, coming))])
    assert await sweep_orphans(bench.index, lambda: Position(1, 100, 0)) == 1
    await bench.index.write([SweepChunks(ids=(coming.id,), below=Position(1, 7, 0))])
    assert await bench.state() == expected


async def test_work_that_a_newer_change_overtakes_leaves_nothing_behind() -> None:
    bench = Bench()
    prepared = await bench.indexer.prepare([upsert(1, "a", PARAGRAPHS[0])], bench.rows)
    await bench.apply(upsert(5, "a", PARAGRAPHS[1]))
    await bench.indexer.finish(prepared)
    assert await bench.content("a") == PARAGRAPHS[1]
    assert await bench.state() == await afresh([upsert(5, "a", PARAGRAPHS[1])])


async def test_a_renamed_document_with_an_open_letter_is_read_from_its_row() -> None:
    bench = Bench()
    await bench.apply(upsert(1, "a", "indexed text"))
    broken = Unprocessable(position=Position(1, 2, 0), key=key("a"), cause="odd bytes", payload={})
    await bench.indexer.apply([broken], bench.rows)
    bench.rows.rows[key("b")] = draft("b", "text of the row")
    renamed = Upsert(position=Position(1, 3, 1), draft=draft("b", MISSING), previous_key=key("a"))
    await bench.apply(Delete(position=Position(1, 3, 0), key=key("a")), renamed)
    assert await bench.content("b") == "text of the row"

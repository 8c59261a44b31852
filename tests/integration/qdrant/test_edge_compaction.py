"""Compaction of the embedded index: same results, nothing lost, whatever happens meanwhile."""

import asyncio
from pathlib import Path

import pytest

from integration.qdrant.edge_worker import DIMENSIONS, DOCUMENTS, SETTINGS, advance, chunk_ids, key_of
from rtrag.adapters.qdrant.edge import EdgeIndex, EdgeSettings, open_edge_index
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.domain.manifest import ChunkPoint, UpsertChunks
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, SearchRequest

ALL = SearchRequest(vector=[1.0] * DIMENSIONS, text="00000001-0000-4000-8000 edge", limit=1000)


async def grow(index: EdgeIndex, rounds: int) -> None:
    for _ in range(rounds):
        for document in range(DOCUMENTS):
            await advance(index, document)


async def points(index: EdgeIndex) -> dict[str, ChunkPoint]:
    return {point.id: point async for page in index.all_chunks() for point in page}


async def dense_ids(index: EdgeIndex) -> set[str]:
    candidates: Candidates = await index.search(ALL)
    return set(candidates.dense)


async def test_the_points_are_the_same_and_the_garbage_is_gone(tmp_path: Path) -> None:
    settings = EdgeSettings(min_free_bytes=0, compact_from=50, compact_above=0.3)
    async with open_edge_index(tmp_path, DIMENSIONS, settings) as index:
        await grow(index, 2)
        assert not index.needs_compaction()
        await grow(index, 8)
        assert index.needs_compaction()
        before, deleted = await points(index), round(index.garbage_ratio() * 240)
        assert deleted == 9 * DOCUMENTS
        result = await index.compact()
        assert (result.points, result.removed) == (3 * DOCUMENTS, deleted)
        assert await points(index) == before
        assert await dense_ids(index) == set(before)
        assert index.garbage_ratio() == 0
        await grow(index, 1)
        after = await points(index)
    assert len(list(tmp_path.glob("chunks-*"))) == 1
    async with open_edge_index(tmp_path, DIMENSIONS, settings) as index:
        assert await points(index) == after
        assert index.garbage_ratio() == pytest.approx(DOCUMENTS / 80)


async def test_the_count_of_deletions_survives_a_restart(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS, SETTINGS) as index:
        await grow(index, 3)
        ratio = index.garbage_ratio()
    async with open_edge_index(tmp_path, DIMENSIONS, SETTINGS) as index:
        assert index.garbage_ratio() == ratio > 0


async def test_writes_during_a_compaction_survive_it(tmp_path: Path) -> None:
    """New chunks, swept chunks, and a field that was never filtered by before."""
    async with open_edge_index(tmp_path, DIMENSIONS, SETTINGS) as index:
        await grow(index, 30)
        compaction = asyncio.create_task(index.compact())
        rounds = 30
        while not compaction.done():
            await grow(index, 1)
            rounds += 1
            await asyncio.sleep(0.005)
        await compaction
        assert rounds > 35
        expected = {each for document in range(DOCUMENTS) for each in chunk_ids(document, rounds - 1)}
        assert set(await points(index)) == expected
        assert await dense_ids(index) == expected
        for document in range(DOCUMENTS):
            assert set(chunk_ids(document, rounds - 1)) <= set(await index.chunks(chunk_ids(document, rounds - 1)))


async def test_a_compaction_that_is_cancelled_or_fails_leaves_the_old_storage(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS, SETTINGS) as index:
        await grow(index, 5)
        before = await points(index)
        cancelled = asyncio.create_task(index.compact())
        await asyncio.sleep(0.05)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert len(list(tmp_path.glob("chunks-*"))) == 1
        index._dimensions += 1
        with pytest.raises(ServiceUnavailableError, match=r"child process.*expected dim"):
            await index.compact()
        index._dimensions -= 1
        assert len(list(tmp_path.glob("chunks-*"))) == 1
        assert await points(index) == before
        await grow(index, 1)
        await index.compact()
        assert len(await points(index)) == len(before)


async def test_an_unfinished_new_storage_is_removed_when_the_index_is_opened(tmp_path: Path) -> None:
    """As a kill in the middle of a compaction leaves it."""
    async with open_edge_index(tmp_path, DIMENSIONS, SETTINGS) as index:
        await grow(index, 2)
        before = await points(index)
    (tmp_path / "chunks-unfinished").mkdir()
    (tmp_path / "chunks-unfinished" / "half.dat").write_bytes(b"x")
    (tmp_path / "CURRENT.new").write_text("chunks-unfinished")
    async with open_edge_index(tmp_path, DIMENSIONS, SETTINGS) as index:
        assert await points(index) == before
        assert (await index.records([key_of(0)])).manifests[key_of(0)].position == Position(1, 1, 0)
    assert not (tmp_path / "chunks-unfinished").exists()


async def test_chunks_without_a_dense_vector_are_compacted_too(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS, SETTINGS) as index:
        await grow(index, 1)
        (found,) = (await index.chunks(chunk_ids(0, 0)[:1])).values()
        words_only = ChunkPoint(
            id="ffffffff-0000-4000-8000-000000000000",
            key=found.key,
            text="giraffe",
            title="",
            heading_path=(),
            kind="front_matter",
            filterable={"animal": ["giraffe", True, 2]},
            position=found.position,
            dense=None,
        )
        await index.write([UpsertChunks(points=(words_only,))])
        await index.compact()
        assert (await points(index))[words_only.id] == words_only
        hits = (await index.search(SearchRequest(vector=None, text="giraffe", limit=5))).lexical
        assert list(hits) == [words_only.id]

"""How many requests the server index needs: as many for a hundred documents as for one."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from application_bench import TABLE, Bench, delete, key, upsert
from contract.qdrant_servers import LOCAL_MODE_WARNING, local_client
from rtrag.adapters.qdrant.server import QdrantIndex, open_qdrant_index
from rtrag.adapters.qdrant.server_settings import QdrantSettings
from rtrag.domain.manifest import PutTableState, TableState
from rtrag.domain.position import Position
from rtrag.domain.retrieval import SearchRequest
from rtrag.testing.embedding import HashEmbedder

pytestmark = pytest.mark.filterwarnings(LOCAL_MODE_WARNING)
SIZES = (1, 10, 100)


class CountingClient:
    """Counts the requests by kind."""

    def __init__(self, client: Any) -> None:
        self.requests: Counter[str] = Counter()
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        async def counted(*given: Any, **named: Any) -> Any:
            self.requests[name] += 1
            return await call(*given, **named)

        return counted

    async def during(self, work: Callable[[], Awaitable[object]]) -> dict[str, int]:
        """The requests that this work makes."""
        self.requests.clear()
        await work()
        return dict(self.requests)


@pytest.fixture
async def counting() -> AsyncIterator[CountingClient]:
    async with local_client() as client:
        yield CountingClient(client)


@pytest.fixture
async def bench(counting: CountingClient) -> AsyncIterator[Bench]:
    client: Any = counting
    embedder = HashEmbedder()
    settings = QdrantSettings(url=":memory:")
    async with open_qdrant_index(settings, embedder.dimensions, client=client) as index:
        yield Bench(index=index, embedder=embedder, memo_entries=100_000)


@pytest.mark.parametrize("documents", SIZES)
async def test_a_micro_batch_takes_the_same_requests_whatever_its_size(
    bench: Bench, counting: CountingClient, documents: int
) -> None:
    def contents(version: int) -> list[str]:
        return [f"# {name}\n\nSame.\n\n# Second\n\nVersion {version} of {name}.\n" for name in range(documents)]

    new = [upsert(1, str(name), content) for name, content in enumerate(contents(1))]
    changed = [upsert(2, str(name), content) for name, content in enumerate(contents(2))]
    gone = [delete(3, str(name)) for name in range(documents)]
    reading_and_switching = {"retrieve": 2, "batch_update_points": 1}  # steps 1, 3 and 4 of the protocol
    with_sweep = {"retrieve": 2, "batch_update_points": 2}
    assert await counting.during(lambda: bench.apply(*new)) == reading_and_switching
    with_vectors_that_stand = {**with_sweep, "retrieve": 3}
    assert await counting.during(lambda: bench.apply(*changed)) == with_vectors_that_stand
    assert await counting.during(lambda: bench.apply(*gone)) == with_sweep


@pytest.mark.parametrize("documents", SIZES)
async def test_reading_takes_one_request_whatever_is_read(
    bench: Bench, counting: CountingClient, documents: int
) -> None:
    await bench.apply(*(upsert(1, str(name), f"Text of {name}.\n") for name in range(documents)))
    index = bench.index
    keys = [key(str(name)) for name in range(documents)]
    assert await counting.during(lambda: index.records(keys, [TABLE])) == {"retrieve": 1}
    ids = [each for manifest in (await index.records(keys)).manifests.values() for each in manifest.chunk_ids]
    assert await counting.during(lambda: index.chunks(ids, with_vectors=True)) == {"retrieve": 1}
    assert await counting.during(lambda: index.records([])) == {}
    assert await counting.during(lambda: index.chunks([])) == {}


async def test_a_search_by_vector_and_words_is_one_request(bench: Bench, counting: CountingClient) -> None:
    await bench.apply(*(upsert(1, str(name), f"Text of {name}.\n") for name in range(20)))
    vector = (1.0,) + (0.0,) * (bench.embedder.dimensions - 1)
    floors = ((TABLE, Position(1, 0, 0)),)
    for more in ({}, {"tables": (TABLE,)}, {"hidden_below": floors}):
        options: dict[str, Any] = more
        request = SearchRequest(vector=vector, text="text", limit=5, **options)
        made = await counting.during(lambda request=request: bench.index.search(request))  # type: ignore[misc]
        assert made == {"query_batch_points": 1}


async def test_counting_and_state_are_not_asked_for_again_without_need(bench: Bench, counting: CountingClient) -> None:
    index = bench.index
    assert isinstance(index, QdrantIndex)
    assert await counting.during(index.state) == {"scroll": 1}
    await bench.apply(upsert(1, "a", "Text.\n"))
    assert await counting.during(index.state) == {"scroll": 1}
    assert await counting.during(index.state) == {}
    assert await counting.during(index.flush) == {}
    assert await counting.during(index.counts) == {"facet": 1, "count": 1}


async def test_a_flush_waits_until_what_was_written_has_settled() -> None:
    async with local_client() as client:
        settings = QdrantSettings(url=":memory:", settle_seconds=0.2)
        async with open_qdrant_index(settings, 4, client=client) as index:
            await index.flush()
            await index.write([PutTableState(state=TableState(table="t"))])
            written = time.monotonic()
            await index.flush()
            assert time.monotonic() - written > 0.19  # a lower bound: a slow machine only adds to it

"""The stand-in for a Qdrant server keeps what it acknowledged, names what is missing, and passes over nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_client.models import FieldCondition, Filter, MatchValue

from contract.index_contract import DIMENSIONS, at, chunk, chunk_id, found, source
from qdrant_stand_in.process import StandIn, running_stand_in
from rtrag.adapters.qdrant.server import QdrantIndex, open_qdrant_index
from rtrag.adapters.qdrant.server_settings import QdrantSettings
from rtrag.domain.conditions import Condition
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.domain.manifest import PutSourceState, UpsertChunks

KILLS = 2
WRITES = 20
RED = (Condition(field="team", operator="eq", value="red"),)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StandIn]:
    with running_stand_in(tmp_path) as running:
        yield running


@pytest.fixture
async def client(stand_in: StandIn) -> AsyncIterator[AsyncQdrantClient]:
    opened = AsyncQdrantClient(url=stand_in.url, check_compatibility=False)
    yield opened
    await opened.close()


async def write_until_killed(own: StandIn, index: QdrantIndex, numbers: "count[int]") -> set[str]:
    """Write chunks one after the other, kill the server meanwhile; ids of those that were acknowledged."""
    acknowledged: set[str] = set()
    enough = asyncio.Event()

    async def write() -> None:
        for number in numbers:
            point = chunk(number, at(number + 1), filterable={"team": "red"})
            await index.write([UpsertChunks(points=(point,)), PutSourceState(state=source(number))])
            acknowledged.add(point.id)
            if len(acknowledged) == WRITES:
                enough.set()

    async def kill() -> None:
        await enough.wait()
        await asyncio.to_thread(own.kill)

    written, _ = await asyncio.gather(write(), kill(), return_exceptions=True)
    assert isinstance(written, ServiceUnavailableError)
    return acknowledged


async def test_what_it_acknowledged_is_there_after_it_was_killed(own: StandIn) -> None:
    settings = QdrantSettings(url=own.url)
    acknowledged: set[str] = set()
    numbers = count()
    async with open_qdrant_index(settings, DIMENSIONS) as index:
        for _ in range(KILLS):
            acknowledged |= await write_until_killed(own, index, numbers)
            own.start()
            assert acknowledged <= await found(index, conditions=RED)
    async with open_qdrant_index(settings, DIMENSIONS) as index:
        assert await index.state() == "clean"
        assert set(await index.chunks(sorted(acknowledged))) == acknowledged
        assert len(acknowledged) >= KILLS * WRITES


async def test_what_it_holds_is_there_after_it_was_stopped_in_order(own: StandIn) -> None:
    async with open_qdrant_index(QdrantSettings(url=own.url), DIMENSIONS) as index:
        await index.write([UpsertChunks(points=(chunk(1, at(1)),))])
        own.stop()
        with pytest.raises(ServiceUnavailableError, match=own.url):
            await index.chunks([chunk_id(1)])
        own.start()
        assert set(await index.chunks([chunk_id(1)])) == {chunk_id(1)}


async def test_a_collection_that_was_deleted_is_missing_as_it_is_on_a_server(
    stand_in: StandIn, client: AsyncQdrantClient
) -> None:
    settings = replace(QdrantSettings(url=stand_in.url), collection="deleted")
    async with open_qdrant_index(settings, DIMENSIONS) as index:
        (target,) = [
            each.collection_name for each in (await client.get_aliases()).aliases if each.alias_name == "deleted"
        ]
        await client.delete_collection(target)
        with pytest.raises(ServiceUnavailableError, match="If the collection was deleted, start again"):
            await index.chunks([chunk_id(1)])
        assert "deleted" not in {each.alias_name for each in (await client.get_aliases()).aliases}


async def test_what_it_does_not_do_is_refused(stand_in: StandIn, client: AsyncQdrantClient) -> None:
    settings = replace(QdrantSettings(url=stand_in.url), collection="strict")
    only_some = Filter(must=[FieldCondition(key="kind", match=MatchValue(value="table"))])
    async with open_qdrant_index(settings, DIMENSIONS):
        with pytest.raises(UnexpectedResponse, match="the stand-in knows no filter in CountRequest"):
            await client.count("strict", count_filter=only_some)

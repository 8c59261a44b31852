"""Writers that contend for the same points, and random writes held against the index in memory.

On the client's local mode the writers share a client, and take turns at each request. Over HTTP each has a connection
of its own: they are really at once on the server that ``QDRANT_URL`` names; on the stand-in that is there where it
names none, requests arrive at once and are applied one at a time.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from contract.index_contract import DIMENSIONS, KEY, OTHER, at, chunk, chunk_id, manifest
from contract.qdrant_engine import EngineClient
from contract.qdrant_servers import LOCAL_MODE_WARNING, URL, collection_on_server, local_client
from rtrag.adapters.qdrant.server import QdrantIndex, open_qdrant_index
from rtrag.adapters.qdrant.server_settings import QdrantSettings
from rtrag.domain.manifest import (
    ForgetTombstone,
    Operation,
    PutTableState,
    SweepChunks,
    SwitchManifest,
    TableState,
    UpsertChunks,
)
from rtrag.domain.position import MAX_LSN, Position
from rtrag.ports.index import Index
from rtrag.testing.index import InMemoryIndex

pytestmark = pytest.mark.filterwarnings(LOCAL_MODE_WARNING)
WRITERS = 8
ROUNDS = 20
TABLE = "public.documents"
POSITIONS = (at(1), at(2, -1), at(2), at(2, 1), at(0, 0, epoch=2), at(MAX_LSN - 1), at(MAX_LSN))


class TakingTurns:
    """Lets the others go on before each request: the local mode itself never does."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        async def later(*given: Any, **named: Any) -> Any:
            await asyncio.sleep(0)
            return await call(*given, **named)

        return later


@pytest.fixture(params=["local", "server" if URL else "stand-in"])
async def writers(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[QdrantIndex]]:
    async with AsyncExitStack() as stack:
        client: Any = None
        if request.param == "local":
            client = TakingTurns(await stack.enter_async_context(local_client()))
            settings = QdrantSettings(url=":memory:")
        else:
            url: str = request.getfixturevalue("qdrant_url")
            settings = await stack.enter_async_context(collection_on_server(url))
        yield [
            await stack.enter_async_context(open_qdrant_index(settings, DIMENSIONS, client=client))
            for _ in range(WRITERS)
        ]


async def test_no_switch_is_lost_and_none_is_done_twice(writers: Sequence[QdrantIndex]) -> None:
    """Each writer adds its marks to those that stand, one at a time, until it sees them: compare and swap in a loop."""
    attempts = 0

    async def add_marks(index: Index, writer: int) -> None:
        nonlocal attempts
        for mark in range(ROUNDS):
            ours = f"{writer}/{mark}"
            while ours not in (marks := await marks_of(index)):
                following = replace(manifest(at(len(marks) + 1)), metadata={"marks": [*marks, ours]})
                attempts += 1
                await index.write([SwitchManifest(manifest=following, replaces=at(len(marks)) if marks else None)])

    async def marks_of(index: Index) -> list[str]:
        standing = (await index.records([KEY])).manifests.get(KEY)
        return list(standing.metadata["marks"]) if standing else []  # type: ignore[arg-type]  # a list, as written

    await asyncio.gather(*(add_marks(index, writer) for writer, index in enumerate(writers)))
    marks = await marks_of(writers[0])
    assert len(marks) == WRITERS * ROUNDS
    assert attempts > len(marks), "nobody contended"
    assert set(marks) == {f"{writer}/{mark}" for writer in range(WRITERS) for mark in range(ROUNDS)}


async def test_a_floor_ends_at_the_highest_and_is_never_seen_falling(writers: Sequence[QdrantIndex]) -> None:
    generator = random.Random(1)
    floors = [[generator.choice((None, *POSITIONS)) for _ in range(ROUNDS)] for _ in writers]

    async def raise_floor(index: Index, writer: int) -> None:
        seen: Position | None = None
        for epoch, floor in enumerate(floors[writer]):
            await index.write([PutTableState(state=TableState(table=TABLE, floor=floor, copied_epoch=epoch))])
            now = (await index.records([], [TABLE])).tables[TABLE].floor
            for before in (seen, floor):
                assert before is None or (now is not None and before <= now)
            seen = now

    await asyncio.gather(*(raise_floor(index, writer) for writer, index in enumerate(writers)))
    state = (await writers[0].records([], [TABLE])).tables[TABLE]
    assert state.floor == max(floor for each in floors for floor in each if floor is not None)
    assert state.copied_epoch == ROUNDS - 1


async def test_the_largest_position_of_a_chunk_stays_whoever_writes_last(writers: Sequence[QdrantIndex]) -> None:
    async def write(index: Index, writer: int) -> None:
        positions = random.Random(writer).sample(POSITIONS, len(POSITIONS))
        for position in positions:
            points = tuple(chunk(number, position, f"at {position}") for number in range(3))
            await index.write([UpsertChunks(points=points)])

    await asyncio.gather(*(write(index, writer) for writer, index in enumerate(writers)))
    largest = max(POSITIONS)
    stand = (await writers[0].chunks([chunk_id(number) for number in range(3)])).values()
    assert [(point.position, point.text) for point in stand] == [(largest, f"at {largest}")] * 3


@pytest.mark.parametrize("kind", ["local", "engine"])
@pytest.mark.parametrize("seed", range(6))
async def test_random_writes_leave_the_same_as_in_memory(tmp_path: Path, kind: str, seed: int) -> None:
    generator = random.Random(seed)
    settings = QdrantSettings(url="in process")
    async with AsyncExitStack() as stack:
        if kind == "local":
            client = await stack.enter_async_context(local_client())
        else:
            engine = EngineClient(tmp_path)
            stack.push_async_callback(engine.close)
            client = engine.as_client()
        index = await stack.enter_async_context(open_qdrant_index(settings, DIMENSIONS, client=client))
        expected = InMemoryIndex()
        for _ in range(40):
            operations = [random_operation(generator) for _ in range(generator.randint(1, 6))]
            await index.write(operations)
            await expected.write(operations)
            assert await everything(index) == await everything(expected), operations


def random_operation(generator: random.Random) -> Operation:
    """An operation on one of few points, at one of few positions: most guards are tried both ways."""
    key = generator.choice((KEY, OTHER))
    position = generator.choice(POSITIONS)
    numbers = generator.sample(range(4), generator.randint(0, 4))
    match generator.randrange(5):
        case 0:
            points = [chunk(number, generator.choice(POSITIONS), f"at {generator.random()}") for number in numbers]
            return UpsertChunks(points=tuple(points + points[:1]))
        case 1:
            deleted = generator.random() < 0.4
            written = manifest(generator.choice(POSITIONS), *(() if deleted else numbers), key=key, deleted=deleted)
            return SwitchManifest(manifest=written, replaces=generator.choice((None, position)))
        case 2:
            return SweepChunks(ids=tuple(chunk_id(number) for number in numbers), below=position)
        case 3:
            return ForgetTombstone(key=key, position=position)
        case _:
            floor = generator.choice((None, position))
            state = TableState(table=generator.choice(("t", "u")), floor=floor, copied_epoch=generator.randrange(9))
            return PutTableState(state=state)


async def everything(index: Index) -> tuple[object, ...]:
    """All that these writes can have left."""
    records = await index.records([KEY, OTHER], ["t", "u"])
    return records.manifests, records.tables, await index.chunks([chunk_id(number) for number in range(4)])

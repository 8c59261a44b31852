"""The real indexer on real indexes, through interleavings that the model found to matter, and random ones."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from application_bench import TABLE
from contract.qdrant_servers import LOCAL_MODE_WARNING, URL, collection_on_server, local_client
from protocol import index_protocol_model as model
from protocol.stepped_index import Stage
from protocol.workers import DIMENSIONS, KEY, is_current, party
from rtrag.adapters.qdrant.edge import open_edge_index
from rtrag.adapters.qdrant.server import open_qdrant_index
from rtrag.adapters.qdrant.server_settings import QdrantSettings
from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import Manifest, Operation, SwitchManifest, TableState
from rtrag.ports.index import Index, Records
from rtrag.testing.index import InMemoryIndex

OpenIndex = Callable[[Path], AbstractAsyncContextManager[Index]]

# What the steps of the model are called at the port; a step that does nothing there is left out by the application.
PORT_STEPS = {
    "upsert": {"UpsertChunks"},
    "switch": {"SwitchManifest"},
    "bury": {"SwitchManifest"},
    "read": {"records", "PutTableState"},
    "read back": {"records"},
    "scan": {"manifests"},
    "sweep": {"SweepChunks"},
    "sweep own": {"SweepChunks"},
}
FOUND: tuple[tuple[model.Guard, int], ...] = (("cas", 0), ("cas", 1), ("floor", 2), ("bound", 3))
# Burying reads back before it sweeps in the application, so the steps of ("cas", 1) miss each other there.
BREAKING: tuple[tuple[model.Guard, int], ...] = (("cas", 0), ("floor", 2), ("bound", 3))


@asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[Index]:
    yield InMemoryIndex()


@asynccontextmanager
async def edge(folder: Path) -> AsyncIterator[Index]:
    async with open_edge_index(folder / "index", DIMENSIONS) as index:
        yield index


@asynccontextmanager
async def local_mode(_: Path) -> AsyncIterator[Index]:
    settings = QdrantSettings(url=":memory:")
    async with local_client() as client, open_qdrant_index(settings, DIMENSIONS, client=client) as index:
        yield index


@asynccontextmanager
async def over_http(url: str, _: Path) -> AsyncIterator[Index]:
    async with collection_on_server(url) as settings, open_qdrant_index(settings, DIMENSIONS) as index:
        yield index


REAL = [
    edge,
    pytest.param(local_mode, marks=pytest.mark.filterwarnings(LOCAL_MODE_WARNING)),
    pytest.param(over_http, id="server" if URL else "stand-in"),
]


@pytest.fixture
def open_index(request: pytest.FixtureRequest) -> OpenIndex:
    """How to open an index; over HTTP the one on the server or its stand-in, which is started when first needed."""
    if request.param is over_http:
        return partial(over_http, request.getfixturevalue("qdrant_url"))
    given: OpenIndex = request.param
    return given


class WithoutCas(InMemoryIndex):
    """Manifests are guarded by "smaller position" alone."""

    async def write(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            await super().write([self._weakened(operation)])

    def _weakened(self, operation: Operation) -> Operation:
        if not isinstance(operation, SwitchManifest):
            return operation
        standing = self._manifests.get(operation.manifest.key)
        if standing is None:
            return replace(operation, replaces=None)
        newer = standing.position < operation.manifest.position
        return replace(operation, replaces=standing.position) if newer else operation


class WithoutFloor(InMemoryIndex):
    """Nobody sees the floor."""

    async def records(self, keys: Sequence[DocumentKey], tables: Sequence[str] = ()) -> Records:
        found = await super().records(keys, tables)
        return Records(manifests=found.manifests, tables={table: TableState(table=table) for table in tables})


async def visible(index: Index) -> Manifest | None:
    """The manifest that a query would see. Fails if it is torn."""
    records = await index.records([KEY], [TABLE])
    manifest, floor = records.manifests.get(KEY), records.tables[TABLE].floor
    if manifest is None or manifest.deleted or (floor is not None and manifest.position <= floor):
        return None
    missing = set(manifest.chunk_ids) - set(await index.chunks(manifest.chunk_ids))
    assert not missing, f"torn: {manifest.position} lists {missing}"
    return manifest


async def follow(index: Index, scenario: model.Scenario, found: model.CounterExample, *, bound: bool = True) -> None:
    """Take the steps of a counter-example, then let all but the zombie finish."""
    stage = Stage(index)
    try:
        numbers = [await stage.add(party(work, bound=bound)) for work in found.workers]
        for step in found.steps:
            if stage.next_step(numbers[step.worker]) in PORT_STEPS[step.step]:
                await stage.step(numbers[step.worker])
                await visible(index)
        for number in numbers[1:]:
            await stage.finish(number)
        assert is_current(await visible(index), scenario.newest)
    finally:
        await stage.close()


async def wander(index: Index, scenario: model.Scenario, generator: random.Random) -> None:
    """A random cast in a random order; the zombie may stop anywhere."""
    workers = generator.choice(list(model.casts(scenario)))
    stage = Stage(index)
    try:
        running = [await stage.add(party(work)) for work in workers]
        must_finish = running[1:]
        while any(stage.next_step(number) is not None for number in must_finish):
            await stage.step(generator.choice(running))
            await visible(index)
        assert is_current(await visible(index), scenario.newest), workers
    finally:
        await stage.close()


def counter_example(guard: model.Guard, number: int) -> tuple[model.Scenario, model.CounterExample]:
    scenario = model.SCENARIOS[number]
    found = model.check(scenario, guard).counter_example
    assert found is not None
    return scenario, found


@pytest.mark.parametrize("open_index", [in_memory, *REAL], indirect=True)
@pytest.mark.parametrize(("guard", "number"), FOUND)
async def test_what_would_break_a_weaker_protocol_does_not_break_ours(
    tmp_path: Path, open_index: OpenIndex, guard: model.Guard, number: int
) -> None:
    scenario, found = counter_example(guard, number)
    async with open_index(tmp_path) as index:
        await follow(index, scenario, found)


@pytest.mark.parametrize(("guard", "number"), BREAKING)
async def test_the_same_steps_do_break_an_index_without_the_guard(guard: model.Guard, number: int) -> None:
    """So the steps reach the place that the guard is there for."""
    scenario, found = counter_example(guard, number)
    weaker = {"cas": WithoutCas, "floor": WithoutFloor, "bound": InMemoryIndex}[guard]()
    with pytest.raises(AssertionError):
        await follow(weaker, scenario, found, bound=guard != "bound")


@pytest.mark.parametrize("number", range(len(model.SCENARIOS)))
@pytest.mark.parametrize("seed", range(5))
async def test_random_interleavings_keep_documents_whole_and_end_in_the_newest(number: int, seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(30):
        await wander(InMemoryIndex(), model.SCENARIOS[number], generator)


@pytest.mark.parametrize("open_index", REAL, indirect=True)
@pytest.mark.parametrize("number", range(len(model.SCENARIOS)))
async def test_random_interleavings_on_real_indexes(tmp_path: Path, open_index: OpenIndex, number: int) -> None:
    generator = random.Random(number)
    for run in range(3):
        async with open_index(tmp_path / str(run)) as index:
            await wander(index, model.SCENARIOS[number], generator)

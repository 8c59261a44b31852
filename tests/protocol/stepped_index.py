"""Workers on one index, of which a test decides who takes the next step.

Each worker gets an ``Index`` of its own from ``Stage.index_of``; every call that is part of the protocol waits there
until the test lets that worker go on. The operations of a write are single steps too, as a crash or another worker
may come between them. Reading chunks is not part of the protocol and never waits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import ChunkPoint, IndexState, Manifest, Operation, SourceState, TableState
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, SearchRequest
from rtrag.ports.index import Index, Records

Work = Callable[[Index], Awaitable[object]]


class Stage:
    """Runs workers one step at a time; close it, so that workers left standing are cancelled."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._tasks: list[asyncio.Task[object]] = []
        self._gates: list[asyncio.Future[None] | None] = []
        self._steps: list[str] = []
        self._changed = asyncio.Event()

    async def add(self, work: Work) -> int:
        """Start a worker, up to its first step; returns its number."""
        number = len(self._tasks)
        self._gates.append(None)
        self._steps.append("")
        self._tasks.append(asyncio.create_task(_run(work, SteppedIndex(self, number, self._index))))
        self._tasks[number].add_done_callback(lambda _: self._changed.set())
        await self._settled(number)
        return number

    def next_step(self, number: int) -> str | None:
        """What the worker is about to do; None once it has finished. Raises what the worker raised."""
        task = self._tasks[number]
        if task.done():
            task.result()
            return None
        return self._steps[number]

    async def step(self, number: int) -> bool:
        """Let the worker take one step; False if it has finished already."""
        if self.next_step(number) is None:
            return False
        gate, self._gates[number] = self._gates[number], None
        if gate is None:
            raise AssertionError("a worker that has not finished waits at a gate")
        gate.set_result(None)
        await self._settled(number)
        return True

    async def finish(self, number: int) -> None:
        """Let the worker run to its end."""
        while await self.step(number):
            pass

    async def close(self) -> None:
        """Stop workers that have not finished, as a crash would."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def turn(self, number: int, step: str) -> None:
        """Wait here, as this worker, for the turn to do this."""
        self._steps[number] = step
        gate = self._gates[number] = asyncio.get_running_loop().create_future()
        self._changed.set()
        await gate

    async def _settled(self, number: int) -> None:
        while self._gates[number] is None and not self._tasks[number].done():
            self._changed.clear()
            await self._changed.wait()


class SteppedIndex:
    """Implements ``rtrag.ports.index.Index`` for one worker."""

    def __init__(self, stage: Stage, worker: int, index: Index) -> None:
        self._stage = stage
        self._worker = worker
        self._index = index

    async def records(self, keys: Sequence[DocumentKey], tables: Sequence[str] = ()) -> Records:
        await self._stage.turn(self._worker, "records")
        return await self._index.records(keys, tables)

    async def write(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            await self._stage.turn(self._worker, type(operation).__name__)
            await self._index.write([operation])

    async def manifests(self, table: str, page: int = 500) -> AsyncIterator[Sequence[Manifest]]:
        await self._stage.turn(self._worker, "manifests")
        for manifests in [each async for each in self._index.manifests(table, page)]:
            yield manifests

    async def chunks(self, ids: Sequence[str], *, with_vectors: bool = False) -> Mapping[str, ChunkPoint]:
        return await self._index.chunks(ids, with_vectors=with_vectors)

    async def all_chunks(self, page: int = 500) -> AsyncIterator[Sequence[ChunkPoint]]:
        for points in [each async for each in self._index.all_chunks(page)]:
            yield points

    async def chunks_between(
        self, above: Position, upto: Position, page: int = 500
    ) -> AsyncIterator[Sequence[ChunkPoint]]:
        for points in [each async for each in self._index.chunks_between(above, upto, page)]:
            yield points

    async def search(self, request: SearchRequest) -> Candidates:
        return await self._index.search(request)

    async def flush(self) -> None:
        await self._index.flush()

    async def source(self, name: str) -> SourceState | None:
        return await self._index.source(name)

    async def state(self) -> IndexState:
        return await self._index.state()

    async def tables(self) -> Sequence[TableState]:
        return await self._index.tables()

    async def counts(self) -> Mapping[str, int]:
        return await self._index.counts()


async def _run(work: Work, index: Index) -> object:
    return await work(index)

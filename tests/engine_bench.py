"""The engine over a scripted source and the shipped fakes, for unit tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from application_bench import TABLE, Bench
from rtrag.application.clean_up import CleanUp
from rtrag.application.copying import Copier
from rtrag.application.engine import Engine, Parts
from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.ingest import Ingest, IngestSettings, Monitor
from rtrag.application.problems import Problems
from rtrag.application.refresh import Refresh
from rtrag.application.retry import RetryPolicy
from rtrag.domain.manifest import SourceState
from rtrag.ports.changes import Capture
from rtrag.testing.index import InMemoryIndex
from rtrag.testing.source import ScriptedCapture


@dataclass
class Running:
    """An engine over fakes. ``captures`` are opened one after the other, ``tables`` are those configured."""

    captures: list[ScriptedCapture]
    bench: Bench = field(default_factory=Bench)
    tables: tuple[str, ...] = (TABLE,)
    shared: bool = False
    index: InMemoryIndex = field(init=False)

    def __post_init__(self) -> None:
        index = self.bench.index
        assert isinstance(index, InMemoryIndex)
        self.index = index
        quick = RetryPolicy(wait_initial=0.001, wait_max=0.002, wait_jitter=0)
        monitor = Monitor(
            settings=IngestSettings(flush_spacing=0.005, isolate_after=2, retry=quick),
            totals=self.bench.totals,
            problems=Problems(),
        )
        self.problems = monitor.problems
        self.freshness = Freshness()
        clean_up = CleanUp(index)
        self.ingest = Ingest(
            index=index,
            indexer=self.bench.indexer,
            letters=self.bench.letters,
            freshness=self.freshness,
            clean_up=clean_up,
            monitor=monitor,
        )
        self.gate = FreshnessGate(freshness=self.freshness, index=index, letters=self.bench.letters)
        self.opened: list[tuple[SourceState | None, Mapping[str, int]]] = []
        parts = Parts(
            index=index,
            ingest=self.ingest,
            freshness=self.freshness,
            gate=self.gate,
            refresh=Refresh(self.freshness, self.ingest),
            clean_up=clean_up,
            copier=Copier(index, self.ingest, self.freshness, self.bench.totals, 100),
            monitor=monitor,
            open_capture=self._open,
            source_name="postgres",
            tables=self.tables,
            shared=self.shared,
        )
        self.engine = Engine(parts)

    @asynccontextmanager
    async def _open(self, recorded: SourceState | None, copied: Mapping[str, int]) -> AsyncIterator[Capture]:
        self.opened.append((recorded, copied))
        yield self.captures[min(len(self.opened), len(self.captures)) - 1]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.engine.run())
        try:
            async with asyncio.timeout(10):
                yield
        finally:
            self.engine.stop()
            await task

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.sleep(0.001)

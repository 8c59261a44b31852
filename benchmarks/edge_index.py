"""What the embedded index costs: the figures of docs/adr/0001-embedded-index.md.

    python benchmarks/edge_index.py --chunks 20000 [--json] [--compaction]

Chunks have 80 words drawn by a power law and random vectors, which are the hardest case for quantization. One
document is one chunk. Times are in milliseconds. With --json the last line is one object.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import numpy as np

from rtrag.adapters.qdrant.edge import EdgeIndex, EdgeSettings, open_edge_index
from rtrag.domain.chunk import Vector
from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import ChunkPoint, Manifest, Operation, SweepChunks, SwitchManifest, UpsertChunks
from rtrag.domain.position import Position
from rtrag.domain.retrieval import SearchRequest

DIMENSIONS = 256
WORDS = 80
BATCH = 256
RUNS = 200
WARM_UP = 10
TABLE = "public.documents"
Figures = dict[str, float]


class Corpus:
    """Random chunks, the same for the same seed, and updates that go round all documents."""

    def __init__(self, seed: int, documents: int) -> None:
        self._documents = documents
        self._random = random.Random(seed)
        self._vectors = np.random.default_rng(seed)
        self._vocabulary = [f"word{number}" for number in range(20_000)]
        self._texts = [self.text(WORDS) for _ in range(5_000)]
        self._updates = count()

    def text(self, words: int) -> str:
        picks = (min(int(self._random.paretovariate(0.7)), len(self._vocabulary)) - 1 for _ in range(words))
        return " ".join(self._vocabulary[pick] for pick in picks)

    def vector(self) -> Vector:
        values: list[float] = self._vectors.standard_normal(DIMENSIONS).tolist()
        return values

    def chunk(self, number: int, version: int) -> ChunkPoint:
        return ChunkPoint(
            id=chunk_id(number, version),
            key=DocumentKey(TABLE, (str(number),)),
            text=self._texts[(number * 7 + version) % len(self._texts)],
            title=f"Document {number}",
            heading_path=("Part", "Section"),
            kind="body",
            filterable={"team": f"team-{number % 10}", "year": 2000 + number % 25},
            position=Position(1, version, 0),
            dense=self.vector(),
        )

    def next_update(self) -> tuple[int, int]:
        """The number of the next document to update, and its new version."""
        done = next(self._updates)
        return done % self._documents, done // self._documents + 2

    def request(self, limit: int = 60) -> SearchRequest:
        return SearchRequest(vector=self.vector(), text=self.text(8), limit=limit)


def chunk_id(number: int, version: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{version:012x}"


def switch(number: int, version: int) -> SwitchManifest:
    replaces = Position(1, version - 1, 0) if version > 1 else None
    manifest = Manifest(
        key=DocumentKey(TABLE, (str(number),)),
        position=Position(1, version, 0),
        chunk_ids=(chunk_id(number, version),),
        title=f"Document {number}",
        content_hash="0" * 64,
    )
    return SwitchManifest(manifest=manifest, replaces=replaces)


async def fill(index: EdgeIndex, corpus: Corpus, chunks: int) -> Figures:
    """First copy: batches of new documents; the making of random vectors is not counted."""
    chunk_seconds = manifest_seconds = 0.0
    for start in range(0, chunks, BATCH):
        numbers = range(start, min(start + BATCH, chunks))
        points = tuple(corpus.chunk(number, 1) for number in numbers)
        started = time.perf_counter()
        await index.write([UpsertChunks(points=points)])
        written = time.perf_counter()
        await index.write([switch(number, 1) for number in numbers])
        chunk_seconds += written - started
        manifest_seconds += time.perf_counter() - written
    started = time.perf_counter()
    await index.flush()
    return {
        "chunks_per_s": chunks / chunk_seconds,
        "manifests_per_s": chunks / manifest_seconds,
        "first_flush_ms": (time.perf_counter() - started) * 1000,
    }


class Updates:
    """Updates of one document of one chunk each: read, write, read back, sweep."""

    def __init__(self, index: EdgeIndex, corpus: Corpus) -> None:
        self._index = index
        self._corpus = corpus

    def prepare(self) -> tuple[ChunkPoint, int, int]:
        number, version = self._corpus.next_update()
        return self._corpus.chunk(number, version), number, version

    async def apply(self, point: ChunkPoint, number: int, version: int) -> None:
        await self._index.records([point.key], [TABLE])
        operations: list[Operation] = [UpsertChunks(points=(point,)), switch(number, version)]
        await self._index.write(operations)
        await self._index.records([point.key], [TABLE])
        await self._index.write([SweepChunks(ids=(chunk_id(number, version - 1),), below=point.position)])

    async def timed(self, runs: int = RUNS) -> Figures:
        prepared = iter([self.prepare() for _ in range(runs + WARM_UP)])
        return await timed("update_ms", lambda: self.apply(*next(prepared)), runs)

    async def flushes(self, updates: int, runs: int = 8) -> Figures:
        """What a flush costs after so many updates."""
        times = []
        for _ in range(runs):
            for _ in range(updates):
                await self.apply(*self.prepare())
            started = time.perf_counter()
            await self._index.flush()
            times.append((time.perf_counter() - started) * 1000)
        return {f"flush_after_{updates}_ms": float(np.median(times))}


async def timed(figure: str, action: Callable[[], Awaitable[object]], runs: int = RUNS) -> Figures:
    """Median, 99th percentile and mean processor time of an action, after a few runs that do not count."""
    for _ in range(WARM_UP):
        await action()
    times = []
    processor = time.process_time()
    for _ in range(runs):
        started = time.perf_counter()
        await action()
        times.append((time.perf_counter() - started) * 1000)
    return {
        f"{figure}_p50": float(np.percentile(times, 50)),
        f"{figure}_p99": float(np.percentile(times, 99)),
        f"{figure}_processor": (time.process_time() - processor) * 1000 / runs,
    }


def searching(index: EdgeIndex, corpus: Corpus, limit: int = 60) -> Callable[[], Awaitable[object]]:
    """Searches of requests made beforehand."""
    requests = iter([corpus.request(limit) for _ in range(RUNS + WARM_UP)])
    return lambda: index.search(next(requests))


async def recall(folder: Path, corpus: Corpus, queries: int = 50) -> Figures:
    """How many of the 60 nearest the default search finds, and what the exact one costs."""
    requests = [corpus.request() for _ in range(queries)]
    async with open_edge_index(folder, DIMENSIONS) as index:
        default = [set((await index.search(each)).dense) for each in requests]
    async with open_edge_index(folder, DIMENSIONS, EdgeSettings(exact=True)) as index:
        exact = [set((await index.search(each)).dense) for each in requests]
        figures = await timed("exact_search_ms", searching(index, corpus), 50)
    found = sum(len(ours & theirs) for ours, theirs in zip(default, exact, strict=True))
    return {"recall_at_60": found / sum(map(len, exact)), **figures}


async def reopening(folder: Path, corpus: Corpus) -> Figures:
    """What opening costs after an orderly close, and after an unclean end (every manifest is checked)."""
    times = []
    for clean in (True, False):
        if not clean:
            (folder / "closed").unlink()
        started = time.perf_counter()
        async with open_edge_index(folder, DIMENSIONS) as index:
            times.append((time.perf_counter() - started) * 1000)
            await index.search(corpus.request())
    return {"open_ms": times[0], "open_unclean_ms": times[1]}


async def compacting(folder: Path, corpus: Corpus, chunks: int) -> Figures:
    """A third of the chunks replaced, then compaction with a reader beside it."""
    async with open_edge_index(folder, DIMENSIONS) as index:
        updates = Updates(index, corpus)
        for _ in range(chunks // 3):
            await updates.apply(*updates.prepare())
        before = await timed("search_before_compaction_ms", searching(index, corpus))
        job = asyncio.create_task(index.compact())
        waits = []
        while not job.done():
            started = time.perf_counter()
            await index.search(corpus.request())
            waits.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.01)
        result = await job
        after = await timed("search_after_compaction_ms", searching(index, corpus))
    return {
        **before,
        **after,
        "compaction_s": result.seconds,
        "compaction_pause_ms": result.pause_ms,
        "search_during_compaction_ms_p50": float(np.percentile(waits, 50)),
        "search_during_compaction_ms_p99": float(np.percentile(waits, 99)),
    }


async def measure(folder: Path, chunks: int, *, compaction: bool) -> Figures:
    """All figures, in the order of a life: first copy, updates, searches, reopening, compaction."""
    corpus = Corpus(1, chunks)
    figures: Figures = {"chunks": chunks}
    async with open_edge_index(folder, DIMENSIONS) as index:
        figures |= await fill(index, corpus, chunks)
        updates = Updates(index, corpus)
        figures |= await updates.timed()
        figures |= await timed("search_ms", searching(index, corpus))
        figures |= await timed("search_30_ms", searching(index, corpus, 30))
        for between in (1, 20, 200):
            figures |= await updates.flushes(between)
    figures |= await recall(folder, corpus)
    figures |= await reopening(folder, corpus)
    if compaction:
        figures |= await compacting(folder, corpus, chunks)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--compaction", action="store_true", help="also delete a third and compact")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder) / "index", arguments.chunks, compaction=arguments.compaction))
    if arguments.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:12,.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

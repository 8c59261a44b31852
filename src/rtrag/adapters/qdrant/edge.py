"""The embedded index: Qdrant Edge in this process, one folder, one opener."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from qdrant_edge import Filter

from rtrag.adapters.qdrant import edge_shards
from rtrag.adapters.qdrant.compaction import CompactionResult, compact_chunks
from rtrag.adapters.qdrant.edge_errors import engine_errors
from rtrag.adapters.qdrant.edge_filters import number
from rtrag.adapters.qdrant.edge_folder import EdgeFolder, locked
from rtrag.adapters.qdrant.edge_repair import withdraw_torn_manifests
from rtrag.adapters.qdrant.edge_search import EdgeSearch
from rtrag.adapters.qdrant.edge_state import EdgeState
from rtrag.adapters.qdrant.edge_write import EdgeWriter
from rtrag.adapters.qdrant.lexical import Lexical, LexicalSettings
from rtrag.adapters.qdrant.points import (
    KIND,
    MANIFEST_KINDS,
    PLACE,
    TABLE,
    chunk_point,
    manifest_of,
    place,
    source_of,
    table_of,
)
from rtrag.domain.chunk import manifest_id, source_id, table_id
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import RtragError
from rtrag.domain.manifest import ChunkPoint, IndexState, Manifest, Operation, SourceState, TableState
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, SearchRequest
from rtrag.ports.index import Records

FORMAT: Final = 2  # of the folder and its payloads: raise it when what an earlier version wrote cannot be read
_SCROLLED_AT_ONCE: Final = 100
_COUNTS_SECONDS: Final = 1.0
_FEW_CHUNKS: Final = 2_000
_MOST_TABLES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """How the embedded index works.

    Attributes:
        exact: scan the full vectors in every search; the default scans quantized ones and rescores.
        min_free_bytes: disk space below which nothing is written.
        compact_above: share of deleted points in the chunk storage that calls for a compaction.
        compact_from: deleted points below which a compaction is never called for.
        remembered: how many decoded chunks, and manifests, are kept in memory, about 1.5 KB each.
    """

    lexical: LexicalSettings = field(default_factory=LexicalSettings)
    exact: bool = False
    min_free_bytes: int = 256 * 2**20
    compact_above: float = 0.3
    compact_from: int = 5_000
    remembered: int = 20_000


class EdgeIndex:
    """Implements ``rtrag.ports.index.Index``. Made by ``open_edge_index``."""

    def __init__(self, state: EdgeState, dimensions: int, settings: EdgeSettings, found: IndexState) -> None:
        lexical = Lexical(settings.lexical)
        self._state = state
        self._settings = settings
        self._dimensions = dimensions
        self._found = found
        self._writer = EdgeWriter(state, lexical, dimensions)
        self._search = EdgeSearch(state, lexical, exact=settings.exact)
        self._compacting = asyncio.Lock()
        self._counted: tuple[float, Mapping[str, int]] | None = None
        self.withdrawn: tuple[DocumentKey, ...] = ()

    async def records(self, keys: Sequence[DocumentKey], tables: Sequence[str] = ()) -> Records:
        """See ``IndexReader.records``."""
        ids = {manifest_id(key): key for key in keys}
        table_ids = {table_id(table): table for table in tables}
        states = {table: TableState(table=table) for table in tables}
        with engine_errors("read manifests"):
            manifests = self._state.manifests.get(ids)
            states |= {table_ids[found]: state for found, state in self._state.tables.get(table_ids).items()}
        return Records(manifests={ids[found]: manifest for found, manifest in manifests.items()}, tables=states)

    async def chunks(self, ids: Sequence[str], *, with_vectors: bool = False) -> Mapping[str, ChunkPoint]:
        """See ``IndexReader.chunks``. Vectors have unit length."""
        with engine_errors("read chunks"):
            if not with_vectors:
                return self._state.points(ids)
            found = edge_shards.retrieve(self._state.chunks, ids, with_vectors=True)
        return {point.id: _chunk(point) for point in found}

    async def search(self, request: SearchRequest) -> Candidates:
        """See ``IndexReader.search``."""
        with engine_errors("search"):
            return self._search.candidates(request)

    async def write(self, operations: Sequence[Operation]) -> None:
        """See ``IndexWriter.write``. Searches get their turn between the steps of a large write."""
        self._state.folder.require_free(self._settings.min_free_bytes)
        steps = self._writer.steps(operations)
        while True:
            try:
                with engine_errors("write"):
                    if next(steps, _DONE) is _DONE:
                        return
            except RtragError:
                self._state.forget_all()  # what a failed step has left behind has to be looked up
                raise
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """See ``IndexWriter.flush``."""
        with engine_errors("flush to disk"):
            await self._state.sync()

    async def source(self, name: str) -> SourceState | None:
        """See ``IndexWriter.source``."""
        with engine_errors("read the state of the source"):
            found = edge_shards.retrieve(self._state.records, [source_id(name)])
        return source_of(found[0].payload) if found else None

    async def state(self) -> IndexState:
        """See ``IndexWriter.state``: as found when the index was opened; ``fresh`` only until the first write."""
        with engine_errors("count points"):
            written = Filter(must=[edge_shards.keyword(KIND, (*MANIFEST_KINDS, "table", "source"))])
            empty = not (edge_shards.count(self._state.records, written) or edge_shards.count(self._state.chunks))
        if empty:
            return "fresh"
        return "clean" if self._found == "fresh" else self._found

    async def manifests(self, table: str, page: int = 500) -> AsyncIterator[Sequence[Manifest]]:
        """See ``IndexScan.manifests``."""
        match = Filter(must=[edge_shards.keyword(TABLE, [table]), edge_shards.keyword(KIND, MANIFEST_KINDS)])
        offset: str | None = None
        while True:
            with engine_errors("walk over the manifests"):
                found, offset = edge_shards.scroll(self._state.records, offset, page, match=match)
            if found:
                yield [manifest_of(point.payload) for point in found]
            if offset is None:
                return
            await asyncio.sleep(0)

    async def all_chunks(self, page: int = 500) -> AsyncIterator[Sequence[ChunkPoint]]:
        """See ``IndexScan.all_chunks``; read in short steps, so that searches get their turn."""
        offset: str | None = None
        collected: list[ChunkPoint] = []
        while True:
            limit = min(page - len(collected), _SCROLLED_AT_ONCE)
            with engine_errors("walk over the chunks"):
                found, offset = edge_shards.scroll(self._state.chunks, offset, limit, with_vectors=True)
            collected += [_chunk(point) for point in found]
            if collected and (offset is None or len(collected) >= page):
                yield collected
                collected = []
            if offset is None:
                return
            await asyncio.sleep(0)

    async def chunks_between(
        self, above: Position, upto: Position, page: int = 500
    ) -> AsyncIterator[Sequence[ChunkPoint]]:
        """See ``IndexScan.chunks_between``."""
        match = Filter(must=[number(PLACE, gte=place(above), lte=place(upto))])
        offset: str | None = None
        while True:
            with engine_errors("look for chunks written lately"):
                found, offset = edge_shards.scroll(self._state.chunks, offset, page, match=match)
            points = [_chunk(point) for point in found]
            yield [point for point in points if above < point.position <= upto]
            if offset is None:
                return
            await asyncio.sleep(0)

    async def tables(self) -> Sequence[TableState]:
        """See ``IndexScan.tables``."""
        match = Filter(must=[edge_shards.keyword(KIND, ["table"])])
        with engine_errors("read the states of the tables"):
            found, _ = edge_shards.scroll(self._state.records, None, _MOST_TABLES, match=match)
        return [table_of(point.payload) for point in found]

    async def counts(self) -> Mapping[str, int]:
        """See ``IndexScan.counts``; of a large index at most a second old: exact counting walks over everything."""
        now = time.monotonic()
        counted = self._counted
        if counted is None or now - counted[0] > _COUNTS_SECONDS or counted[1]["chunks"] < _FEW_CHUNKS:
            with engine_errors("count points"):
                documents, tombstones = (
                    edge_shards.count(self._state.records, Filter(must=[edge_shards.keyword(KIND, [kind])]))
                    for kind in MANIFEST_KINDS
                )
                chunks = edge_shards.count(self._state.chunks)
            counted = self._counted = (now, {"documents": documents, "tombstones": tombstones, "chunks": chunks})
        return counted[1]

    def garbage_ratio(self) -> float:
        """Share of the chunk storage that deleted points still take up, 0 to 1."""
        deleted = self._state.deleted_points
        with engine_errors("count points"):
            stored = edge_shards.count(self._state.chunks) + deleted
        return deleted / stored if stored else 0.0

    def needs_compaction(self) -> bool:
        """Whether deleted points take up enough room to be worth a compaction."""
        if self._state.deleted_points < self._settings.compact_from:
            return False
        return self.garbage_ratio() > self._settings.compact_above

    async def compact(self) -> CompactionResult:
        """Build the chunk storage afresh in a child process and switch to it; writes and searches go on.

        Raises ServiceUnavailableError when the child failed; the index then is as it was.
        """
        async with self._compacting:
            self._state.folder.require_free(self._settings.min_free_bytes)
            return await compact_chunks(self._state, self._dimensions)


@asynccontextmanager
async def open_edge_index(
    folder: Path, dimensions: int, settings: EdgeSettings | None = None
) -> AsyncIterator[EdgeIndex]:
    """Open the index in a folder, making it if there is none; close it in order at the end.

    Raises ConfigurationError if another process has it open, or if it was made with other settings.
    """
    settings = settings or EdgeSettings()
    with locked(folder) as place:
        exists = place.prepare({"format": FORMAT, "dimensions": dimensions, "lexical": asdict(settings.lexical)})
        place.require_free(settings.min_free_bytes)
        clean = place.mark_open()
        with engine_errors("be opened"):
            state = _open_state(place, dimensions, settings, exists=exists)
        flushed = False
        try:
            index = EdgeIndex(state, dimensions, settings, _found(exists=exists, clean=clean))
            if exists and not clean:
                with engine_errors("be checked after an unclean end"):
                    index.withdrawn = await withdraw_torn_manifests(state)
            try:
                yield index
            finally:
                with engine_errors("flush to disk"):
                    state.checkpoint()
                flushed = True
        finally:
            state.close()
            if flushed:
                place.mark_closed()


_DONE: Final = object()


def _open_state(place: EdgeFolder, dimensions: int, settings: EdgeSettings, *, exists: bool) -> EdgeState:
    if exists:
        chunks, records = edge_shards.load(place.current()), edge_shards.load(place.records)
        return EdgeState(place, chunks, records, settings.remembered)
    chunks_folder = place.new_chunks()
    chunks = edge_shards.create_chunks(chunks_folder, dimensions)
    records = edge_shards.create_records(place.records)
    chunks.flush()
    records.flush()
    place.switch_to(chunks_folder)
    return EdgeState(place, chunks, records, settings.remembered)


def _found(*, exists: bool, clean: bool) -> IndexState:
    if not exists:
        return "fresh"
    return "clean" if clean else "unclean"


def _chunk(point: edge_shards.StoredPoint) -> ChunkPoint:
    return chunk_point(point.payload, point.vectors.get(edge_shards.DENSE))

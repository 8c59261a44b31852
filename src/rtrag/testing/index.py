"""An index in memory: the same port as the real ones, in plain Python, for tests."""

import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from rtrag.domain.chunk import Vector, lexical_text
from rtrag.domain.conditions import all_match
from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import (
    ChunkPoint,
    ForgetTombstone,
    IndexState,
    Manifest,
    Operation,
    PutSourceState,
    PutTableState,
    SourceState,
    SweepChunks,
    SwitchManifest,
    TableState,
    UpsertChunks,
)
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, SearchRequest
from rtrag.ports.index import Records

_WORD = re.compile(r"\w+")
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75


class InMemoryIndex:
    """Implements ``rtrag.ports.index.Index``. Nothing survives the object; ``flush`` counts its calls."""

    def __init__(self) -> None:
        self.flushes = 0
        self._manifests: dict[DocumentKey, Manifest] = {}
        self._chunks: dict[str, ChunkPoint] = {}
        self._tables: dict[str, TableState] = {}
        self._sources: dict[str, SourceState] = {}

    async def records(self, keys: Sequence[DocumentKey], tables: Sequence[str] = ()) -> Records:
        """See ``IndexReader.records``."""
        return Records(
            manifests={key: self._manifests[key] for key in keys if key in self._manifests},
            tables={table: self._tables.get(table, TableState(table=table)) for table in tables},
        )

    async def chunks(self, ids: Sequence[str], *, with_vectors: bool = False) -> Mapping[str, ChunkPoint]:
        """See ``IndexReader.chunks``."""
        found = {chunk_id: self._chunks[chunk_id] for chunk_id in ids if chunk_id in self._chunks}
        if with_vectors:
            return found
        return {chunk_id: replace(point, dense=None) for chunk_id, point in found.items()}

    async def search(self, request: SearchRequest) -> Candidates:
        """See ``IndexReader.search``: cosine, and BM25 over the words of all chunks."""
        points = [point for point in self._chunks.values() if _is_candidate(request, point)]
        dense: dict[str, float] = {}
        if request.vector is not None:
            vector = request.vector
            dense = {point.id: _cosine(vector, point.dense) for point in points if point.dense is not None}
        scores = self._bm25(request.text)
        lexical = {point.id: scores[point.id] for point in points if scores.get(point.id)}
        return Candidates(dense=_best(dense, request.limit), lexical=_best(lexical, request.limit))

    async def write(self, operations: Sequence[Operation]) -> None:
        """See ``IndexWriter.write``."""
        for operation in operations:
            self._apply(operation)

    async def flush(self) -> None:
        """See ``IndexWriter.flush``."""
        self.flushes += 1

    async def source(self, name: str) -> SourceState | None:
        """See ``IndexWriter.source``."""
        return self._sources.get(name)

    async def state(self) -> IndexState:
        """See ``IndexWriter.state``; never unclean, because nothing outlives the object."""
        return "clean" if self._manifests or self._chunks or self._tables or self._sources else "fresh"

    async def manifests(self, table: str, page: int = 500) -> AsyncIterator[Sequence[Manifest]]:
        """See ``IndexScan.manifests``."""
        found = [manifest for key, manifest in self._manifests.items() if key.table == table]
        for start in range(0, len(found), page):
            yield found[start : start + page]

    async def all_chunks(self, page: int = 500) -> AsyncIterator[Sequence[ChunkPoint]]:
        """See ``IndexScan.all_chunks``."""
        found = list(self._chunks.values())
        for start in range(0, len(found), page):
            yield found[start : start + page]

    async def chunks_between(
        self, above: Position, upto: Position, page: int = 500
    ) -> AsyncIterator[Sequence[ChunkPoint]]:
        """See ``IndexScan.chunks_between``."""
        found = [replace(point, dense=None) for point in self._chunks.values() if above < point.position <= upto]
        for start in range(0, len(found), page):
            yield found[start : start + page]

    async def tables(self) -> Sequence[TableState]:
        """See ``IndexScan.tables``."""
        return list(self._tables.values())

    async def counts(self) -> Mapping[str, int]:
        """See ``IndexScan.counts``."""
        tombstones = sum(manifest.deleted for manifest in self._manifests.values())
        return {
            "documents": len(self._manifests) - tombstones,
            "tombstones": tombstones,
            "chunks": len(self._chunks),
        }

    def _apply(self, operation: Operation) -> None:
        match operation:
            case UpsertChunks():
                self._upsert(operation.points)
            case SwitchManifest():
                self._switch(operation)
            case SweepChunks():
                self._sweep(operation)
            case ForgetTombstone():
                self._forget(operation)
            case PutTableState():
                self._put_table(operation.state)
            case PutSourceState():
                standing = self._sources.get(operation.state.name)
                if standing is None or standing.position <= operation.state.position:
                    self._sources[operation.state.name] = operation.state
            case _:
                assert_never(operation)

    def _upsert(self, points: Iterable[ChunkPoint]) -> None:
        for point in points:
            standing = self._chunks.get(point.id)
            if standing is None or standing.position < point.position:
                self._chunks[point.id] = point

    def _sweep(self, operation: SweepChunks) -> None:
        for chunk_id in operation.ids:
            if chunk_id in self._chunks and self._chunks[chunk_id].position < operation.below:
                del self._chunks[chunk_id]

    def _forget(self, operation: ForgetTombstone) -> None:
        standing = self._manifests.get(operation.key)
        if standing is not None and standing.deleted and standing.position == operation.position:
            del self._manifests[operation.key]

    def _switch(self, operation: SwitchManifest) -> None:
        standing = self._manifests.get(operation.manifest.key)
        if (standing.position if standing else None) == operation.replaces:
            self._manifests[operation.manifest.key] = operation.manifest

    def _put_table(self, state: TableState) -> None:
        standing = self._tables.get(state.table, state).floor
        if standing is not None and (state.floor is None or state.floor < standing):
            state = replace(state, floor=standing)
        self._tables[state.table] = state

    def _bm25(self, text: str) -> dict[str, float]:
        """Scores of all chunks that share a word with the text."""
        words = {
            point.id: _words(lexical_text(point.title, point.heading_path, point.text))
            for point in self._chunks.values()
        }
        average = sum(map(len, words.values())) / len(words) if words else 1.0
        scores: dict[str, float] = {}
        for term in set(_words(text)):
            holders = {chunk_id: count for chunk_id, found in words.items() if (count := Counter(found)[term])}
            idf = math.log(1 + (len(words) - len(holders) + 0.5) / (len(holders) + 0.5))
            for chunk_id, count in holders.items():
                length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * len(words[chunk_id]) / average
                weight = count * (_SATURATION + 1) / (count + _SATURATION * length)
                scores[chunk_id] = scores.get(chunk_id, 0.0) + idf * weight
        return scores


def _is_candidate(request: SearchRequest, point: ChunkPoint) -> bool:
    table = point.key.table
    if request.tables and table not in request.tables:
        return False
    if any(table == hidden and point.position <= floor for hidden, floor in request.hidden_below):
        return False
    return all_match(request.conditions, point.filterable)


def _best(scores: Mapping[str, float], limit: int) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:limit])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _cosine(left: Vector, right: Vector) -> float:
    norms = math.hypot(*left) * math.hypot(*right)
    return sum(a * b for a, b in zip(left, right, strict=True)) / norms if norms else 0.0

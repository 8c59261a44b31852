"""Search: candidates, fused; of them only what the manifests list (G4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rtrag.domain.conditions import all_match
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import TransientError
from rtrag.domain.fusion import DENSE_WEIGHT, DEPTH, fuse
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, Hit, Passage, SearchRequest
from rtrag.ports.index import IndexReader, Records

MAX_PASSES = 5
SPARE = 4  # manifests read beyond what is needed, in case some hits are not visible


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """``depth`` candidates from each search, fused with this weight of the dense one."""

    depth: int = DEPTH
    dense_weight: float = DENSE_WEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Visible passages, best first. ``total`` counts also the lower ones that were not looked at."""

    passages: tuple[Passage, ...]
    total: int


class Search:
    """Finds the visible passages for a question."""

    def __init__(
        self,
        index: IndexReader,
        settings: SearchSettings,
        hidden_below: Callable[[], tuple[tuple[str, Position], ...]] = tuple,
    ) -> None:
        self._index = index
        self._settings = settings
        self._hidden_below = hidden_below

    async def passages(self, request: SearchRequest, needed: int) -> Found:
        """At least the ``needed`` best visible passages, if there are as many.

        A document that changes between search and manifest read would be missing: then the search is run again.
        """
        seen: Mapping[DocumentKey, Manifest] = {}
        request = replace(request, limit=self._settings.depth, hidden_below=self._hidden_below())
        for _ in range(MAX_PASSES):
            ranked = self._ranked(await self._index.search(request), request.limit)
            checked = await self._check(ranked, request, needed, seen)
            if isinstance(checked, Found):
                return checked
            seen = checked
        raise TransientError("The documents found keep changing faster than they can be read; ask again.")

    def _ranked(self, candidates: Candidates, depth: int) -> Sequence[tuple[Hit, float]]:
        limit = len(candidates.dense) + len(candidates.lexical)
        return fuse(candidates, dense_weight=self._settings.dense_weight, limit=limit, depth=depth)

    async def _check(
        self,
        ranked: Sequence[tuple[Hit, float]],
        request: SearchRequest,
        needed: int,
        seen: Mapping[DocumentKey, Manifest],
    ) -> Found | Mapping[DocumentKey, Manifest]:
        """The visible ones from the best down; or the manifests of documents that have changed since the search."""
        visible: list[Passage] = []
        place = 0
        while place < len(ranked) and len(visible) < needed:
            window = ranked[place : place + needed - len(visible) + SPARE]
            place += len(window)
            keys = tuple(dict.fromkeys(hit.key for hit, _ in window))
            records = await self._index.records(keys, tuple({key.table for key in keys}))
            for hit, score in window:
                if not _listed(hit, records):
                    if _outdated(hit, records, seen):
                        return {**seen, **records.manifests}
                # Filters may carry access rights: the manifest has the last word.
                elif all_match(request.conditions, records.manifests[hit.key].filterable):
                    visible.append(Passage(hit=hit, manifest=records.manifests[hit.key], score=score))
        return Found(passages=tuple(visible), total=len(visible) + len(ranked) - place)

    async def neighbours(self, passages: Sequence[Passage], reach: int) -> Mapping[str, ChunkPoint]:
        """The chunks up to ``reach`` places before and after each passage, by id; those found themselves left out."""
        own = {passage.hit.chunk_id for passage in passages}
        wanted = {
            chunk_id
            for passage in passages
            for chunk_id in passage.manifest.chunk_ids[max(0, passage.ordinal - reach) : passage.ordinal + reach + 1]
        }
        return await self._index.chunks(tuple(sorted(wanted - own)))


def _listed(hit: Hit, records: Records) -> bool:
    manifest = records.manifests.get(hit.key)
    if manifest is None or hit.chunk_id not in manifest.chunk_ids:
        return False
    floor = records.tables[hit.key.table].floor
    return floor is None or manifest.position > floor


def _outdated(hit: Hit, records: Records, seen: Mapping[DocumentKey, Manifest]) -> bool:
    """Whether a dropped hit belongs to a document that has a newer version, not looked at in the pass before."""
    manifest = records.manifests.get(hit.key)
    if manifest is None or manifest.deleted or manifest.position <= hit.position:
        return False
    before = seen.get(hit.key)
    return before is None or before.position != manifest.position

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """``depth`` candidates from each search, fused with this weight of the dense one."""

    depth: int = DEPTH
    dense_weight: float = DENSE_WEIGHT


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

    async def passages(self, request: SearchRequest) -> tuple[Passage, ...]:
        """Visible passages, best first.

        A document that changes between search and manifest read would be missing: then the search is run again.
        """
        seen: Mapping[DocumentKey, Manifest] = {}
        request = replace(request, limit=self._settings.depth, hidden_below=self._hidden_below())
        for _ in range(MAX_PASSES):
            candidates = await self._index.search(request)
            hits = (*candidates.dense, *candidates.lexical)
            keys = tuple(dict.fromkeys(hit.key for hit in hits))
            records = await self._index.records(keys, tuple({key.table for key in keys}))
            dropped = [hit for hit in hits if not _listed(hit, records)]
            if not any(_outdated(hit, records, seen) for hit in dropped):
                break
            seen = records.manifests
        else:
            raise TransientError("The documents found keep changing faster than they can be read; ask again.")
        visible = _visible(candidates, records, request)
        # Whether the lexical list is complete shows before what is not visible is dropped from it.
        depth = request.limit if len(candidates.lexical) < request.limit else None
        fused = fuse(visible, dense_weight=self._settings.dense_weight, limit=len(hits), depth=depth)
        return tuple(Passage(hit=hit, manifest=records.manifests[hit.key], score=score) for hit, score in fused)

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


def _visible(candidates: Candidates, records: Records, request: SearchRequest) -> Candidates:
    def keep(hit: Hit) -> bool:
        # Filters may carry access rights: the manifest has the last word.
        return _listed(hit, records) and all_match(request.conditions, records.manifests[hit.key].filterable)

    return Candidates(
        dense=tuple(hit for hit in candidates.dense if keep(hit)),
        lexical=tuple(hit for hit in candidates.lexical if keep(hit)),
    )

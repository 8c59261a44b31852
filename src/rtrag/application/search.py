"""Search: candidates, fused; of them only what the manifests list (G4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from rtrag.domain.conditions import all_match
from rtrag.domain.context import best_headers, raise_headers
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import TransientError
from rtrag.domain.fusion import DENSE_WEIGHT, DEPTH, fuse
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, Passage, SearchRequest
from rtrag.ports.index import IndexReader, Records

MAX_PASSES = 8
DEEPER = 4  # times as many candidates
SPARE = 2  # manifests read beyond what is needed, in case some hits are not visible

Hidden: TypeAlias = tuple[str, ChunkPoint | None, Manifest | None]
"""The id of a hit that is not visible, and what there is of it."""


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
        known = _Known()
        request = replace(request, limit=self._settings.depth, hidden_below=self._hidden_below())
        for _ in range(MAX_PASSES):
            candidates = await self._index.search(request)
            found = await self._check(candidates, request, needed, known)
            if isinstance(found, Found):
                return found
            if found is _Again.DEEPER:
                request = replace(request, limit=request.limit * DEEPER)
        raise TransientError("The documents found keep changing faster than they can be read; ask again.")

    async def _check(
        self, candidates: Candidates, request: SearchRequest, needed: int, known: "_Known"
    ) -> "Found | _Again":
        """The visible ones from the best down; or that, and how, to search again."""
        ids = candidates.dense.keys() | candidates.lexical.keys()
        total = len(ids)
        visible: list[Passage] = []
        place, outdated = 0, False
        while place < total and len(visible) < needed:
            upto = min(total, place + needed - len(visible) + SPARE)
            ranked = fuse(candidates, dense_weight=self._settings.dense_weight, limit=upto, depth=request.limit)
            window = ranked[place:]
            place += len(window)
            if not window:  # a weight of 0 or 1 leaves out what only the other search found
                total = place
                break
            chunks = await self._index.chunks([hit.chunk_id for hit in window])
            keys = tuple(dict.fromkeys(chunk.key for chunk in chunks.values()))
            records = await self._index.records(keys, tuple({key.table for key in keys}))
            hidden: list[Hidden] = []
            for hit in window:
                chunk = chunks.get(hit.chunk_id)
                manifest = records.manifests.get(chunk.key) if chunk is not None else None
                if chunk is None or manifest is None or not _lists(manifest, chunk.id, records):
                    hidden.append((hit.chunk_id, chunk, manifest))
                # Filters may carry access rights: the manifest has the last word.
                elif all_match(request.conditions, manifest.filterable):
                    visible.append(Passage(chunk=chunk, manifest=manifest, score=hit.score))
            # Looked through to the end, so that the next pass knows them all: many at once may be waiting to be swept.
            outdated |= known.outdated(hidden)
        if outdated:
            return _Again.CHANGED
        full = max(len(candidates.dense), len(candidates.lexical)) >= request.limit
        if full and len(visible) < min(needed, place):
            return _Again.DEEPER
        headers = await self._headers(visible)
        raised = ids.intersection(headers).difference([passage.chunk.id for passage in visible])
        passages = raise_headers(visible, headers)
        return Found(passages=passages, total=len(passages) + max(0, total - place - len(raised)))

    async def _headers(self, passages: Sequence[Passage]) -> Mapping[str, ChunkPoint]:
        """By id, the front matter of the best documents."""
        wanted = best_headers(passages)
        return await self._index.chunks(wanted) if wanted else {}

    async def around(self, passages: Sequence[Passage], reach: int) -> Mapping[str, ChunkPoint]:
        """By id, the chunks up to ``reach`` places before and after each passage, and the best documents' headers."""
        own = {passage.chunk.id for passage in passages}
        wanted = {
            chunk_id
            for passage in passages
            for chunk_id in passage.manifest.chunk_ids[max(0, passage.ordinal - reach) : passage.ordinal + reach + 1]
        }
        wanted.update(best_headers(passages))
        return await self._index.chunks(tuple(sorted(wanted - own)))


class _Again(Enum):
    """Why a search is run again.

    ``CHANGED``: documents have changed since, their new versions are to be found. ``DEEPER``: what hides behind their
    old versions, which wait to be swept, lies deeper than was searched.
    """

    CHANGED = auto()
    DEEPER = auto()


class _Known:
    """What earlier passes of a search have found to be hidden: a second look at the same would find the same."""

    def __init__(self) -> None:
        self._gone: set[str] = set()
        self._versions: dict[DocumentKey, Position] = {}

    def outdated(self, hidden: Sequence[Hidden]) -> bool:
        """Whether hidden hits are those of documents that have a newer version, not looked at before."""
        gone = {chunk_id for chunk_id, chunk, _ in hidden if chunk is None} - self._gone
        newer = {
            manifest.key: manifest.position
            for _, chunk, manifest in hidden
            if chunk is not None
            and manifest is not None
            and not manifest.deleted
            and manifest.position > chunk.position
            and self._versions.get(manifest.key) != manifest.position
        }
        self._gone |= gone
        self._versions |= newer
        return bool(gone or newer)


def _lists(manifest: Manifest, chunk_id: str, records: Records) -> bool:
    floor = records.tables[manifest.key.table].floor
    return chunk_id in manifest.chunk_ids and (floor is None or manifest.position > floor)

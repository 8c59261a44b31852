"""Search requests, hits, and what an answer rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rtrag.domain.chunk import Vector
from rtrag.domain.conditions import Condition
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What the index is asked for: candidates by vector and by words.

    ``tables`` empty means all. ``hidden_below`` holds floors that are not swept yet: of those tables only
    chunks written above the floor are candidates.
    """

    vector: Vector | None
    text: str
    limit: int
    tables: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    hidden_below: tuple[tuple[str, Position], ...] = ()


class Hit(NamedTuple):
    """A chunk point that was found. ``score`` is fused, between 0 and 1."""

    chunk_id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the two searches found: scores by chunk id, best first; cosines for dense, BM25 for lexical."""

    dense: Mapping[str, float] = field(default_factory=dict)
    lexical: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A visible hit: a chunk that its document's manifest lists. ``score`` is fused, between 0 and 1."""

    chunk: ChunkPoint
    manifest: Manifest
    score: float

    @property
    def ordinal(self) -> int:
        """The chunk's place in its document, from 0."""
        return self.manifest.chunk_ids.index(self.chunk.id)

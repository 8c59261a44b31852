"""The vector index: records and chunk points, changed by operations, searched by vector and words."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import ChunkPoint, IndexState, Manifest, Operation, SourceState, TableState
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, SearchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Manifests found (tombstones included) and what is known of the tables asked for."""

    manifests: Mapping[DocumentKey, Manifest]
    tables: Mapping[str, TableState]


class IndexReader(Protocol):
    """What a query needs."""

    async def records(self, keys: Sequence[DocumentKey], tables: Sequence[str] = ()) -> Records:
        """Manifests and table states by id, in one request. A table never seen has a TableState without floor."""
        ...

    async def chunks(self, ids: Sequence[str], *, with_vectors: bool = False) -> Mapping[str, ChunkPoint]:
        """Chunk points by id, those that exist; ``dense`` is None unless vectors are asked for."""
        ...

    async def search(self, request: SearchRequest) -> Candidates:
        """Candidates by vector and by words, each best first; visibility is the caller's to check."""
        ...


class IndexWriter(Protocol):
    """What changes the index. All methods raise ServiceUnavailableError when it is away."""

    async def write(self, operations: Sequence[Operation]) -> None:
        """Apply operations one after the other; returns when a query sees them.

        Each single point changes atomically; a crash may leave a prefix of the operations. Every operation is
        guarded (see its docstring) so that repeating it, or racing another writer, does no harm: an operation
        whose guard fails changes nothing and is not an error, so read back what matters.
        """
        ...

    async def flush(self) -> None:
        """Make everything written so far survive a crash of process and machine."""
        ...

    async def source(self, name: str) -> SourceState | None:
        """The recorded state of a source."""
        ...

    async def state(self) -> IndexState:
        """``fresh`` if nothing was ever written, ``unclean`` if the last use did not end with a close."""
        ...


class IndexScan(Protocol):
    """Walking over all of it, for verify, resync and clean-up."""

    def manifests(self, table: str, page: int = 500) -> AsyncIterator[Sequence[Manifest]]:
        """All manifests of a table, tombstones included, in pages, in no particular order.

        What changes while walking may be seen or not; everything untouched is seen once.
        """
        ...

    def all_chunks(self, page: int = 500) -> AsyncIterator[Sequence[ChunkPoint]]:
        """All chunk points, listed or not, with vectors, in pages."""
        ...

    def chunks_between(self, above: Position, upto: Position, page: int = 500) -> AsyncIterator[Sequence[ChunkPoint]]:
        """The chunk points of positions above the one, up to the other, without vectors, in pages, in no order."""
        ...

    async def tables(self) -> Sequence[TableState]:
        """Every table that was ever written about, configured or not."""
        ...

    async def counts(self) -> Mapping[str, int]:
        """Numbers for people: ``documents``, ``tombstones``, ``chunks``."""
        ...


class Index(IndexReader, IndexWriter, IndexScan, Protocol):
    """The whole of it."""

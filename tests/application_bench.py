"""The application over its shipped fakes, for unit tests."""

from dataclasses import dataclass, field

from rtrag.application.embedding_memo import EmbeddingMemo
from rtrag.application.indexer import Indexer
from rtrag.application.totals import Totals
from rtrag.application.vectors import VectorSupply
from rtrag.domain.change import Delete, Upsert
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.chunking import detect_format, header_fields, split
from rtrag.domain.composition import Chunker, Composer
from rtrag.domain.document import DocumentDraft, DocumentKey, Json, Missing
from rtrag.domain.mapping import TableMapping
from rtrag.domain.position import Position
from rtrag.ports.index import Index
from rtrag.testing.dead_letters import ListDeadLetters
from rtrag.testing.embedding import HashEmbedder
from rtrag.testing.index import InMemoryIndex
from rtrag.testing.rows import ListRows

TABLE = "public.documents"


def key(name: str) -> DocumentKey:
    return DocumentKey(TABLE, (name,))


def draft(
    name: str, content: str | Missing, title: str = "", metadata: dict[str, Json] | Missing | None = None
) -> DocumentDraft:
    return DocumentDraft(key=key(name), title=title, content=content, metadata={} if metadata is None else metadata)


def upsert(lsn: int, name: str, content: str | Missing, **rest: object) -> Upsert:
    return Upsert(position=Position(1, lsn, 0), draft=draft(name, content, **rest))  # type: ignore[arg-type]


def delete(lsn: int, name: str) -> Delete:
    return Delete(position=Position(1, lsn, 0), key=key(name))


@dataclass
class Bench:
    """An indexer and everything around it."""

    index: Index = field(default_factory=InMemoryIndex)
    embedder: HashEmbedder = field(default_factory=HashEmbedder)
    letters: ListDeadLetters = field(default_factory=ListDeadLetters)
    rows: ListRows = field(default_factory=ListRows)
    totals: Totals = field(default_factory=Totals)
    memo_entries: int = 1000
    max_bytes: int = 1_000_000

    def __post_init__(self) -> None:
        identity = ChunkingIdentity(
            chunker_version="1", model_id=self.embedder.model_id, dimensions=self.embedder.dimensions
        )
        self.composer = Composer(
            mappings={TABLE: TableMapping(table=TABLE, key_columns=("id",), title="title", metadata=("metadata",))},
            chunker=Chunker(split=split, header_fields=header_fields, detect_format=detect_format, identity=identity),
            max_bytes=self.max_bytes,
        )
        self.vectors = VectorSupply(
            index=self.index, embedder=self.embedder, memo=EmbeddingMemo(self.memo_entries), identity=identity
        )
        self.indexer = Indexer(
            index=self.index,
            vectors=self.vectors,
            composer=self.composer,
            dead_letters=self.letters,
            totals=self.totals,
        )

    async def apply(self, *changes: Upsert | Delete) -> None:
        await self.indexer.apply(changes, self.rows)

    async def content(self, name: str) -> str | None:
        """The content as a query would see it; None for a document that is not visible."""
        records = await self.index.records([key(name)], (TABLE,))
        manifest = records.manifests.get(key(name))
        floor = records.tables[TABLE].floor
        if manifest is None or manifest.deleted or (floor is not None and manifest.position <= floor):
            return None
        points = await self.index.chunks(manifest.chunk_ids)
        return "".join(points[chunk_id].text for chunk_id in manifest.chunk_ids)

    async def state(self) -> dict[str, object]:
        """Everything that distinguishes an index from one built afresh, positions apart."""
        manifests = {}
        async for page in self.index.manifests(TABLE):
            for m in page:
                if not m.deleted:
                    manifests[str(m.key)] = (m.chunk_ids, m.title, m.content_hash, m.metadata, m.filterable)
        chunks = {}
        async for points in self.index.all_chunks():
            for p in points:
                chunks[p.id] = (p.key, p.text, p.title, p.heading_path, p.kind, p.filterable, tuple(p.dense or ()))
        return {"manifests": manifests, "chunks": chunks}

"""From a complete draft to a document and its identified chunks: the same for indexing, copying and verifying."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rtrag.domain.chunk import Chunk, ChunkingIdentity, IdentifiedChunk, identify
from rtrag.domain.document import MISSING, Document, DocumentDraft, Format, Json
from rtrag.domain.errors import TerminalError
from rtrag.domain.mapping import TableMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunker:
    """How contents are cut: the functions of ``domain.chunking``, and the identity they give their chunks."""

    split: Callable[[str, Format], tuple[Chunk, ...]]
    header_fields: Callable[[str, Format], dict[str, Json]]
    detect_format: Callable[[str, str], Format]
    identity: ChunkingIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A document and its chunks, in order."""

    document: Document
    chunks: tuple[IdentifiedChunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Makes documents of drafts. ``max_bytes`` bounds a content; ``mappings`` are by table."""

    mappings: Mapping[str, TableMapping]
    chunker: Chunker
    max_bytes: int

    def compose(self, draft: DocumentDraft) -> Composed:
        """Make the document of a complete draft.

        Raises TerminalError if the content is too long, ValueError if parts are still missing.
        """
        if draft.content is MISSING or draft.title is MISSING or draft.metadata is MISSING or draft.incomplete:
            raise ValueError(f"{draft.key} lacks parts that capture could not send; read its row first")
        size = len(draft.content)
        if not draft.content.isascii():
            size = len(draft.content.encode("utf-8", "surrogatepass"))
        if size > self.max_bytes:
            raise TerminalError(
                f"{draft.key} has {size} bytes, more than the limit of {self.max_bytes}; shorten it, or raise "
                "RTRAG_INDEXING__MAX_DOCUMENT_BYTES, restart, and replay its dead letter"
            )
        mapping = self.mappings[draft.key.table]
        chosen = mapping.format if mapping.format != "auto" else self.chunker.detect_format(draft.key.id, draft.content)
        headers = self.chunker.header_fields(draft.content, chosen)
        document = Document(
            key=draft.key,
            title=draft.title,
            content=draft.content,
            metadata=draft.metadata,
            headers=headers,
            filterable=_filterable(mapping, draft.metadata, headers),
            version=draft.version,
            format=chosen,
        )
        chunks = self.chunker.split(document.content, document.format)
        return Composed(document=document, chunks=identify(document, chunks, self.chunker.identity))


def _filterable(mapping: TableMapping, metadata: Mapping[str, Json], headers: Mapping[str, Json]) -> Mapping[str, Json]:
    if mapping.filterable is None:
        return {name: value for name, value in metadata.items() if _is_filterable(value)}
    known = {**headers, **metadata}
    return {name: known[name] for name in mapping.filterable if name in known and _is_filterable(known[name])}


def _is_filterable(value: Json) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(element, (bool, int, float, str)) for element in value)
    return isinstance(value, (bool, int, float, str))

"""Chunks: contiguous slices of a document's content, and the identities derived from them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias
from uuid import UUID

from rtrag.domain.document import Document, DocumentKey, Json

Vector: TypeAlias = Sequence[float]
ChunkKind: TypeAlias = Literal["body", "front_matter"]

REMEMBERED = 32_768  # ids of keys kept in memory: every query needs those of the documents it finds
_VERSION_DIGIT = 14  # where a uuid says of which version it is
_FRONT_MATTER_VERSION = "8"  # of RFC 9562: whatever the maker of the uuid says
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
NAMESPACE = UUID("6f9b2c51-3c43-5a53-9d0f-0b1f5a5e7a10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A slice of the content with the headings it stands under.

    The texts of a document's chunks, joined in order, are its content byte for byte. Front matter is a chunk
    of its own that is searched by words alone: it has no dense vector.
    """

    text: str
    heading_path: tuple[str, ...] = ()
    kind: ChunkKind = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifiedChunk:
    """A chunk of a document with its identities.

    Attributes:
        id: uuid of the chunk point; everything stored in the point decides it, but for the position.
        fingerprint: hash of what decides the dense vector; None for a chunk without one.
        embedding_input: the text that the embedder gets; None for a chunk without a dense vector.
    """

    id: str
    chunk: Chunk
    fingerprint: str | None
    embedding_input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingIdentity:
    """What decides vectors besides the text: part of every fingerprint, checked at start."""

    chunker_version: str
    model_id: str
    dimensions: int


def embedding_input(title: str, chunk: Chunk) -> str | None:
    """The text that is embedded for a chunk of a document; None where only words are indexed."""
    text = chunk.text.strip()
    if chunk.kind == "front_matter" or not text:
        return None
    return f"{title}\n{text}" if title else text


def fingerprint_of(text: str, identity: ChunkingIdentity) -> str:
    """The fingerprint of an embedding input."""
    return _hash(text, identity.chunker_version, identity.model_id)


def lexical_text(title: str, heading_path: Sequence[str], text: str) -> str:
    """The text whose words are indexed for a chunk."""
    return "\n".join((title, *heading_path, text))


def identify(document: Document, chunks: Sequence[Chunk], identity: ChunkingIdentity) -> tuple[IdentifiedChunk, ...]:
    """Give each chunk its fingerprint and point id.

    Equal chunks of one document are told apart by their occurrence, counted in order.
    """
    seen: dict[str, int] = {}
    identified = []
    key, filterable = str(document.key), canonical(document.filterable)
    for chunk in chunks:
        text = embedding_input(document.title, chunk)
        stored = _hash(
            key,
            document.title,
            str(len(chunk.heading_path)),
            *chunk.heading_path,
            chunk.text,
            chunk.kind,
            filterable,
            identity.chunker_version,
            identity.model_id,
        )
        occurrence = seen[stored] = seen.get(stored, -1) + 1
        identified.append(
            IdentifiedChunk(
                id=_chunk_id(f"{stored}/{occurrence}", chunk.kind),
                chunk=chunk,
                fingerprint=None if text is None else fingerprint_of(text, identity),
                embedding_input=text,
            )
        )
    return tuple(identified)


@lru_cache(maxsize=REMEMBERED)
def manifest_id(key: DocumentKey) -> str:
    """The uuid of a document's manifest point."""
    return _uuid5(f"manifest/{key}")


def table_id(table: str) -> str:
    """The uuid of a table's point."""
    return _uuid5(f"table/{table}")


def source_id(source: str) -> str:
    """The uuid of a source's point."""
    return _uuid5(f"source/{source}")


def content_hash(content: str) -> str:
    """Hash of a whole content, hexadecimal."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(values: Mapping[str, Json]) -> str:
    """A mapping as JSON, the same for equal mappings."""
    return _CANONICAL.encode(values) if values else "{}"


def is_front_matter(chunk_id: str) -> bool:
    """Whether a chunk is front matter, told from its id alone: the version digit of the uuid says so."""
    return chunk_id[_VERSION_DIGIT] == _FRONT_MATTER_VERSION


def _chunk_id(name: str, kind: ChunkKind) -> str:
    text = _uuid5(f"chunk/{name}")
    if kind == "body":
        return text
    return text[:_VERSION_DIGIT] + _FRONT_MATTER_VERSION + text[_VERSION_DIGIT + 1 :]


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.hexdigest()


def _uuid5(name: str) -> str:
    """What ``uuid.uuid5`` gives as text, without its detour over integers: every chunk and every hit needs one."""
    digest = hashlib.sha1(NAMESPACE.bytes + name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()[:16]
    text = (digest[:6] + bytes((digest[6] & 0x0F | 0x50, digest[7], digest[8] & 0x3F | 0x80)) + digest[9:]).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

"""What one document change does to the index: decided here, carried out by the indexer.

A plan is a pure function of the document, the manifest it replaces and the vectors at hand: chunks to embed,
chunks to keep, chunks to drop, the next manifest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rtrag.domain.chunk import IdentifiedChunk, Vector, content_hash
from rtrag.domain.composition import Composed
from rtrag.domain.document import MISSING, DocumentDraft
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next state of one document.

    Attributes:
        manifest: the manifest to switch to.
        replaces: position of the manifest that was read, None where there was none.
        added: chunks that the manifest that was read does not list, in document order.
        dropped: ids that it lists and the next one does not.
        kept: ids that both list, by fingerprint: an added chunk may have the vector of one of them.
    """

    manifest: Manifest
    replaces: Position | None
    added: tuple[IdentifiedChunk, ...]
    dropped: tuple[str, ...]
    kept: Mapping[str, str] = field(default_factory=dict)

    def fingerprints(self) -> Mapping[str, str]:
        """Fingerprint to embedding input of every added chunk that needs a vector."""
        return {
            chunk.fingerprint: chunk.embedding_input
            for chunk in self.added
            if chunk.fingerprint is not None and chunk.embedding_input is not None
        }

    def points(self, vectors: Mapping[str, Vector]) -> tuple[ChunkPoint, ...]:
        """The points of the added chunks; KeyError if a fingerprint has no vector."""
        return tuple(
            ChunkPoint(
                id=chunk.id,
                key=self.manifest.key,
                text=chunk.chunk.text,
                title=self.manifest.title,
                heading_path=chunk.chunk.heading_path,
                kind=chunk.chunk.kind,
                filterable=self.manifest.filterable,
                position=self.manifest.position,
                dense=None if chunk.fingerprint is None else vectors[chunk.fingerprint],
            )
            for chunk in self.added
        )


def plan_upsert(
    composed: Composed,
    position: Position,
    commit_time: datetime | None,
    current: Manifest | None,
    floor: Position | None,
) -> Plan:
    """Plan the switch from ``current`` to this version. A manifest at or below the floor lends no chunks."""
    document, chunks = composed.document, composed.chunks
    listed = lent_by(current, floor)
    wanted = [chunk.id for chunk in chunks]
    return Plan(
        manifest=Manifest(
            key=document.key,
            position=position,
            chunk_ids=tuple(wanted),
            title=document.title,
            version=document.version,
            commit_time=commit_time,
            content_hash=content_hash(document.content),
            metadata=document.metadata,
            headers=document.headers,
            filterable=document.filterable,
            format=document.format,
        ),
        replaces=current.position if current else None,
        added=tuple(chunk for chunk in chunks if chunk.id not in listed),
        dropped=_without(current.chunk_ids if current else (), wanted),
        kept={chunk.fingerprint: chunk.id for chunk in chunks if chunk.fingerprint and chunk.id in listed},
    )


def plan_delete(manifest: Manifest, current: Manifest | None) -> Plan:
    """Plan the switch to a tombstone; ``manifest`` is the tombstone."""
    return Plan(
        manifest=manifest,
        replaces=current.position if current else None,
        added=(),
        dropped=current.chunk_ids if current else (),
    )


def lent_by(current: Manifest | None, floor: Position | None) -> frozenset[str]:
    """The chunk ids that the next version may keep as they stand."""
    if current is None or current.deleted or (floor is not None and current.position <= floor):
        return frozenset()
    return frozenset(current.chunk_ids)


def is_obsolete(position: Position, current: Manifest | None, floor: Position | None) -> bool:
    """Whether a change comes too late: the manifest or the floor has passed it (G3)."""
    return (current is not None and current.position >= position) or (floor is not None and floor >= position)


def complete_from_index(draft: DocumentDraft, base: Manifest, texts: Sequence[str]) -> DocumentDraft:
    """Fill what capture left out from the indexed document: its chunks are lossless."""
    return replace(
        draft,
        title=base.title if draft.title is MISSING else draft.title,
        content="".join(texts) if draft.content is MISSING else draft.content,
        metadata=base.metadata if draft.metadata is MISSING else draft.metadata,
    )


def _without(listed: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    kept = frozenset(wanted)
    return tuple(chunk_id for chunk_id in listed if chunk_id not in kept)

"""Comparing what the index has of a document with what it should have (G8)."""

from collections.abc import Mapping

from rtrag.domain.chunk import IdentifiedChunk, Vector
from rtrag.domain.composition import Composed
from rtrag.domain.document import Document
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.position import Position

TOLERANCE = 1e-4  # of a component of a unit vector: engines store 32-bit floats, and normalise


def difference(
    composed: Composed,
    vectors: Mapping[str, Vector],
    manifest: Manifest | None,
    floor: Position | None,
    points: Mapping[str, ChunkPoint],
) -> str | None:
    """What distinguishes a document's index entry from the expected one, in words; None if nothing does.

    ``vectors`` are the expected ones by fingerprint; empty, vectors are not compared.
    """
    if manifest is None or manifest.deleted or (floor is not None and manifest.position <= floor):
        return "not indexed"
    document = composed.document
    if manifest.chunk_ids != tuple(chunk.id for chunk in composed.chunks):
        return "the manifest lists other chunks"
    wanted = (document.title, document.version, document.metadata, document.headers, document.filterable)
    if wanted != (manifest.title, manifest.version, manifest.metadata, manifest.headers, manifest.filterable):
        return "title, version or metadata differ"
    details = (_chunk_difference(chunk, document, points.get(chunk.id), vectors) for chunk in composed.chunks)
    return next((detail for detail in details if detail is not None), None)


def _chunk_difference(
    chunk: IdentifiedChunk, document: Document, point: ChunkPoint | None, vectors: Mapping[str, Vector]
) -> str | None:
    if point is None:
        return f"chunk {chunk.id} is listed but not there"
    stored = (point.text, point.heading_path, point.title, dict(point.filterable))
    if stored != (chunk.chunk.text, chunk.chunk.heading_path, document.title, dict(document.filterable)):
        return f"chunk {chunk.id} has another payload"
    if vectors and not _same_vector(point.dense, vectors.get(chunk.fingerprint or "")):
        return f"chunk {chunk.id} has another vector"
    return None


def _same_vector(stored: Vector | None, expected: Vector | None) -> bool:
    if stored is None or expected is None:
        return stored is expected
    length = sum(value * value for value in expected) ** 0.5 or 1.0
    other = sum(value * value for value in stored) ** 0.5 or 1.0
    return all(abs(a / other - b / length) <= TOLERANCE for a, b in zip(stored, expected, strict=True))

"""Points as the Qdrant client takes them, and what is read back of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from qdrant_client.models import PointStruct, Record, SparseVector, VectorStructOutput

from rtrag.adapters.qdrant.lexical import Lexical
from rtrag.adapters.qdrant.points import (
    POSITION_FIELDS,
    RECORD,
    Payload,
    chunk_payload,
    chunk_point,
    manifest_payload,
    position_of,
    source_payload,
    table_of,
    table_payload,
)
from rtrag.domain.chunk import manifest_id, source_id, table_id
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.manifest import ChunkPoint, Manifest, SourceState, TableState

DENSE: Final = "dense"
LEXICAL: Final = "bm25"
_NUMBER_BYTES: Final = 21  # of a coordinate as JSON, with its comma
_ENVELOPE_BYTES: Final = 400


class ChunkPoints:
    """Makes the points of chunks, with their vectors."""

    def __init__(self, lexical: Lexical, dimensions: int) -> None:
        self._lexical = lexical
        self._dimensions = dimensions

    def point(self, chunk: ChunkPoint) -> PointStruct:
        """The point of a chunk. Raises ConfigurationError for a vector of another length."""
        words = self._lexical.document(chunk.title, chunk.heading_path, chunk.text)
        vectors: dict[str, Any] = {}
        if words.indices:
            vectors[LEXICAL] = SparseVector(indices=words.indices, values=words.values)
        if chunk.dense is not None:
            if len(chunk.dense) != self._dimensions:
                raise ConfigurationError(
                    f"A vector of {chunk.key} has {len(chunk.dense)} numbers, the index holds {self._dimensions}.",
                    fix="Open the index with the dimensions of the embedding model.",
                )
            vectors[DENSE] = list(chunk.dense)
        return PointStruct(id=chunk.id, vector=vectors, payload=chunk_payload(chunk))


def manifest_point(manifest: Manifest) -> PointStruct:
    """The point of a manifest."""
    return _record(manifest_id(manifest.key), manifest_payload(manifest))


def source_point(state: SourceState) -> PointStruct:
    """The point of a source."""
    return _record(source_id(state.name), source_payload(state))


def table_point(state: TableState) -> PointStruct:
    """The point of a table, with its floor in the position fields, for the guard."""
    payload = table_payload(state)
    if state.floor is not None:
        payload.update({name: getattr(state.floor, name) for name in POSITION_FIELDS})
    return _record(table_id(state.table), payload)


def table_state(payload: Mapping[str, Any]) -> TableState:
    """Read back the state of a table.

    The position fields hold the floor, the record the rest: a state whose floor is behind replaces the record alone.
    """
    floor = position_of(payload) if all(name in payload for name in POSITION_FIELDS) else None
    return replace(table_of(payload), floor=floor)


def read_chunk(payload: Payload | None, vectors: VectorStructOutput | None = None) -> ChunkPoint:
    """Read back a chunk; of the payload only ``record`` is needed."""
    dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
    return chunk_point(payload or {}, dense if isinstance(dense, list) else None)  # type: ignore[arg-type]


def json_bytes(point: PointStruct) -> int:
    """About how many bytes a point takes in a request."""
    numbers = 0
    for vector in point.vector.values() if isinstance(point.vector, dict) else ():
        numbers += 2 * len(vector.indices) if isinstance(vector, SparseVector) else len(vector)  # type: ignore[arg-type]
    return _ENVELOPE_BYTES + len((point.payload or {})[RECORD]) + _NUMBER_BYTES * numbers


def stored_payload(record: Record) -> Payload:
    """The payload of a point that was read."""
    return record.payload or {}


def _record(record_id: str, payload: Payload) -> PointStruct:
    return PointStruct(id=record_id, vector={}, payload=payload)

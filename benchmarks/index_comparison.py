"""Two index folders, point by point: what one has and the other has not, whatever the way that led there."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtrag.adapters.qdrant.edge import open_edge_index
from rtrag.domain.manifest import ChunkPoint, Manifest

INDEX_FOLDER = "index"
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Everything in an index but positions and times: documents by key, listed and unlisted chunks by id.

    Vectors are 32-bit floats, packed.
    """

    documents: Mapping[str, tuple[Any, ...]]
    chunks: Mapping[str, tuple[Any, ...]]
    vectors: Mapping[str, bytes | None]


async def read_contents(folder: Path, *, table: str, dimensions: int) -> Contents:
    """Read an index that no process has open."""
    documents: dict[str, tuple[Any, ...]] = {}
    chunks: dict[str, tuple[Any, ...]] = {}
    vectors: dict[str, bytes | None] = {}
    async with open_edge_index(folder / INDEX_FOLDER, dimensions=dimensions) as index:
        async for manifests in index.manifests(table):
            documents |= {str(manifest.key): _document(manifest) for manifest in manifests if not manifest.deleted}
        async for points in index.all_chunks():
            for point in points:
                chunks[point.id] = _chunk(point)
                vectors[point.id] = array("f", point.dense).tobytes() if point.dense is not None else None
    return Contents(documents=documents, chunks=chunks, vectors=vectors)


def differences(left: Contents, right: Contents) -> list[str]:
    """What differs, in words; empty if nothing does. Vectors are compared to within rounding."""
    found = [*_unequal("document", left.documents, right.documents), *_unequal("chunk", left.chunks, right.chunks)]
    common = sorted(left.vectors.keys() & right.vectors.keys())
    turned = [name for name in common if not _close(left.vectors[name], right.vectors[name])]
    return [*found, *(f"chunk {name}: other vector" for name in turned)]


def _unequal(what: str, left: Mapping[str, tuple[Any, ...]], right: Mapping[str, tuple[Any, ...]]) -> list[str]:
    return [
        f"{what} {key}: {_shortly(left.get(key))} in the first, {_shortly(right.get(key))} in the second"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def _shortly(value: tuple[Any, ...] | None) -> str:
    return "not there" if value is None else f"{str(value)[:160]}..."


def _close(left: bytes | None, right: bytes | None) -> bool:
    if left is None or right is None or left == right:
        return left == right
    values = array("f", left), array("f", right)
    return len(left) == len(right) and all(abs(a - b) <= TOLERANCE for a, b in zip(*values, strict=True))


def _document(manifest: Manifest) -> tuple[Any, ...]:
    return (
        manifest.title,
        manifest.version,
        manifest.chunk_ids,
        manifest.content_hash,
        manifest.metadata,
        manifest.headers,
        manifest.filterable,
        manifest.format,
    )


def _chunk(point: ChunkPoint) -> tuple[Any, ...]:
    return (str(point.key), point.title, point.heading_path, point.kind, point.text, point.filterable)

"""The process that builds a chunk storage for ``compaction``: reads frames from its standard input.

    create FOLDER DIMENSIONS FILTER_FIELDS    first
    upsert POINTS | delete IDS               any number
    finish                                   flush and close; exit 0

An input that ends without ``finish`` means that the parent is gone: what was built is removed, exit 1.
"""

import marshal
import os
import shutil
import sys
from pathlib import Path
from typing import Any, BinaryIO

from qdrant_edge import EdgeShard, Point, SparseVector, UpdateOperation

from rtrag.adapters.qdrant import edge_shards
from rtrag.adapters.qdrant.compaction import LENGTH


def main() -> int:
    """Build what standard input asks for."""
    os.nice(10)
    frames = sys.stdin.buffer
    kind, *first = _next(frames) or ("nothing",)
    if kind != "create":
        return 1
    folder, dimensions, filter_fields = first
    shard = edge_shards.create_chunks(Path(folder), dimensions)
    for field in filter_fields:
        edge_shards.create_filter_index(shard, field)
    if not _build(shard, frames):
        shutil.rmtree(folder, ignore_errors=True)
        return 1
    shard.flush()
    shard.close()
    return 0


def _build(shard: EdgeShard, frames: BinaryIO) -> bool:
    while frame := _next(frames):
        kind, *rest = frame
        if kind == "finish":
            return True
        items = rest[0]
        if items and kind == "upsert":
            shard.update(UpdateOperation.upsert_points([_point(*item) for item in items]))
        elif items:
            shard.update(UpdateOperation.delete_points(items))
    return False


def _next(frames: BinaryIO) -> tuple[Any, ...] | None:
    head = frames.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = frames.read(length)
    if len(data) < length:
        return None
    frame: tuple[Any, ...] = marshal.loads(data)  # noqa: S302 - the parent is this package, same interpreter
    return frame


def _point(
    chunk_id: str, dense: list[float] | None, indices: list[int], values: list[float], payload: dict[str, Any]
) -> Point:
    vectors: dict[str, Any] = {edge_shards.LEXICAL: SparseVector(indices, values)}
    if dense is not None:
        vectors[edge_shards.DENSE] = dense
    return Point(chunk_id, vectors, payload)


if __name__ == "__main__":
    sys.exit(main())

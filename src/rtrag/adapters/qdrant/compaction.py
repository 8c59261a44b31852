"""Compaction: the chunk storage built afresh in a child process, then switched to.

A deleted point keeps its place in the vector storage and in the word statistics, and clearing that inside the live
shard would hold the interpreter lock for seconds. So the points are read in small pages and sent to a child that
builds a shard in a new folder; what changes meanwhile is remembered and copied over; at the end one atomic file
replacement makes the new folder the current one. A crash at any moment leaves one complete folder, the old or the
new, and the other is removed when the index is opened next.
"""

import asyncio
import marshal
import shutil
import struct
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qdrant_edge import EdgeShard, Point, UpdateOperation

from rtrag.adapters.qdrant import edge_shards
from rtrag.adapters.qdrant.edge_errors import engine_errors
from rtrag.adapters.qdrant.edge_state import EdgeState
from rtrag.domain.errors import ServiceUnavailableError

LENGTH: Final = struct.Struct("<I")
_PAGE: Final = 50
_PAUSE_SECONDS: Final = 0.002
_FEW: Final = 64
_MOST_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionResult:
    """What a compaction did. ``pause_ms`` is how long the switch itself kept everything else waiting."""

    points: int
    removed: int
    seconds: float
    pause_ms: float


async def compact_chunks(state: EdgeState, dimensions: int) -> CompactionResult:
    """Build and switch; on any failure the index stays as it was. Only one may run at a time."""
    started = time.perf_counter()
    removed = state.deleted_points
    target = state.folder.new_chunks()
    state.start_tracking()
    try:
        async with _builder(target, dimensions, sorted(state.filter_indexes)) as builder:
            await _send_everything(state, builder)
            deleted = await _send_changes(state, builder)
        old, pause = _switch(state, target, deleted)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        state.stop_tracking()
    await asyncio.to_thread(shutil.rmtree, old, ignore_errors=True)
    return CompactionResult(
        points=edge_shards.count(state.chunks),
        removed=removed,
        seconds=time.perf_counter() - started,
        pause_ms=pause * 1000,
    )


class _Builder:
    """The child's end of the pipe: frames of ``marshal``, each with its length before it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def send(self, *frame: Any) -> None:
        data = marshal.dumps(frame)
        pipe = self._process.stdin
        if pipe is None:
            raise AssertionError("the child is started with a pipe")
        try:
            pipe.write(LENGTH.pack(len(data)) + data)
            await pipe.drain()
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise await self.failure() from exc

    async def finish(self) -> None:
        """Ask for the shard to be flushed and closed, and wait for it."""
        await self.send("finish")
        if await self._process.wait():
            raise await self.failure()

    async def failure(self) -> ServiceUnavailableError:
        errors = await self._process.stderr.read() if self._process.stderr else b""
        lines = errors.decode(errors="replace").strip().splitlines()
        cause = lines[-1] if lines else "it ended without a word"
        return ServiceUnavailableError(f"The compaction of the index failed in its child process: {cause}")


@asynccontextmanager
async def _builder(target: Path, dimensions: int, filter_fields: Sequence[str]) -> AsyncIterator[_Builder]:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rtrag.adapters.qdrant.compaction_child", stdin=PIPE, stderr=PIPE
        )
    except OSError as exc:
        raise ServiceUnavailableError(f"No process could be started to compact the index: {exc}.") from exc
    try:
        builder = _Builder(process)
        await builder.send("create", str(target), dimensions, list(filter_fields))
        yield builder
        await builder.finish()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _send_everything(state: EdgeState, builder: _Builder) -> None:
    offset: str | None = None
    while True:
        with engine_errors("be read for compaction"):
            page, offset = edge_shards.scroll(state.chunks, offset, _PAGE, with_vectors=True)
        await builder.send("upsert", [_portable(point) for point in page])
        if offset is None:
            return
        await asyncio.sleep(_PAUSE_SECONDS)


async def _send_changes(state: EdgeState, builder: _Builder) -> int:
    """Send what changed meanwhile until little is left; the switch takes the rest. Returns deletions sent."""
    deleted = 0
    for _ in range(_MOST_ROUNDS):
        changed = state.take_touched()
        for start in range(0, len(changed), _PAGE):
            ids = changed[start : start + _PAGE]
            with engine_errors("be read for compaction"):
                found = edge_shards.retrieve(state.chunks, ids, with_vectors=True)
            gone = _gone(ids, found)
            deleted += len(gone)
            await builder.send("upsert", [_portable(point) for point in found])
            await builder.send("delete", gone)
        if len(changed) <= _FEW:
            return deleted
    return deleted


def _switch(state: EdgeState, target: Path, deleted: int) -> tuple[Path, float]:
    """Take over the last changes and use the new shard: one step, during which nothing else runs."""
    started = time.perf_counter()
    old = state.folder.current()
    with engine_errors("switch to the compacted storage"):
        fresh = edge_shards.load(target)
        try:
            present = edge_shards.filter_indexes(fresh)
            for field in state.filter_indexes - present:
                edge_shards.create_filter_index(fresh, field)
            deleted += _apply(state, fresh, state.take_touched())
            fresh.flush()
            state.folder.switch_to(target)
        except BaseException:
            fresh.close()
            raise
        state.replace_chunks(fresh, deleted)
    return old, time.perf_counter() - started


def _apply(state: EdgeState, fresh: EdgeShard, ids: Sequence[str]) -> int:
    found = edge_shards.retrieve(state.chunks, ids, with_vectors=True)
    gone = _gone(ids, found)
    if found:
        points = [Point(point.id, dict(point.vectors), point.payload) for point in found]
        fresh.update(UpdateOperation.upsert_points(points))
    if gone:
        fresh.update(UpdateOperation.delete_points(list(gone)))
    return len(gone)


def _gone(ids: Sequence[str], found: Sequence[edge_shards.StoredPoint]) -> list[str]:
    present = {point.id for point in found}
    return [chunk_id for chunk_id in ids if chunk_id not in present]


def _portable(point: edge_shards.StoredPoint) -> tuple[str, list[float] | None, list[int], list[float], dict[str, Any]]:
    """A point as plain values."""
    words = point.vectors[edge_shards.LEXICAL]
    return point.id, point.vectors.get(edge_shards.DENSE), words.indices, words.values, point.payload

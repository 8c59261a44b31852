"""What is open: the two shards, what has been touched, what deletions have left behind."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from qdrant_edge import EdgeShard, Point, UpdateOperation

from rtrag.adapters.qdrant import edge_shards
from rtrag.adapters.qdrant.edge_folder import EdgeFolder, sync_files
from rtrag.adapters.qdrant.edge_recent_points import RecentPoints
from rtrag.adapters.qdrant.points import FILTER, Payload, chunk_point, manifest_of, table_of, upkeep_of, upkeep_payload
from rtrag.domain.chunk import source_id
from rtrag.domain.manifest import ChunkPoint, Manifest, TableState

_UPKEEP_ID = source_id("upkeep of the index")
_LOG: Final = "wal"  # the folder in a shard's folder where Edge keeps its write-ahead log
CHECKPOINT_SECONDS: Final = 20.0
CHECKPOINT_POINTS: Final = 20_000


class EdgeState:
    """The open shards of one folder; ``deleted_points`` counts deletions of chunks since the last compaction."""

    def __init__(self, folder: EdgeFolder, chunks: EdgeShard, records: EdgeShard, remembered: int) -> None:
        self.folder = folder
        self.chunks = chunks
        self.records = records
        self.filter_indexes = edge_shards.filter_indexes(chunks)
        self.deleted_points = self._recorded_deletions()
        self._points: RecentPoints[ChunkPoint] = RecentPoints(remembered, self._load_points)
        self.manifests: RecentPoints[Manifest] = RecentPoints(remembered, self._load_manifests)
        self.tables: RecentPoints[TableState] = RecentPoints(remembered, self._load_tables)
        self._touched: set[str] | None = None
        self._checkpoint_at = time.monotonic()
        self._written = 0

    def points(self, ids: Iterable[str]) -> Mapping[str, ChunkPoint]:
        """Chunk points by id, without vectors, those that exist."""
        return self._points.get(ids)

    def remember(self, points: Iterable[ChunkPoint]) -> None:
        """These chunk points were just written: they are likely to be asked for."""
        self._points.remember({point.id: replace(point, dense=None) for point in points})

    def touched(self, ids: Sequence[str]) -> None:
        """Forget what is remembered of these chunk points, and note them while a compaction runs."""
        self._points.forget(ids)
        if self._touched is not None:
            self._touched.update(ids)

    def forget_all(self) -> None:
        """Look everything up again."""
        self._points.clear()
        self.manifests.clear()
        self.tables.clear()

    def start_tracking(self) -> None:
        """From now on remember the ids of chunk points that change."""
        self._touched = set()

    def take_touched(self) -> list[str]:
        """The ids that changed since the last call."""
        taken, self._touched = sorted(self._touched or ()), set()
        return taken

    def stop_tracking(self) -> None:
        """Forget what was remembered."""
        self._touched = None

    def ensure_filter_indexes(self, payload: Payload) -> None:
        """Make the payload index of each field of filterable metadata before its first value is written."""
        for field in payload:
            if field.startswith(FILTER) and field not in self.filter_indexes:
                edge_shards.create_filter_index(self.chunks, field)
                self.filter_indexes.add(field)

    async def sync(self) -> None:
        """Make everything written so far survive a power loss: the logs at once, the shards themselves now and then.

        The write-ahead logs hold every write since the last checkpoint, and opening a shard applies its log. So it
        is enough to sync the logs, a millisecond in a thread; a checkpoint takes 10 to 40 ms, in which Edge holds
        the interpreter lock. How much a log holds decides the time of the next start after a kill.
        """
        if time.monotonic() - self._checkpoint_at > CHECKPOINT_SECONDS or self._written > CHECKPOINT_POINTS:
            # What this has put on disk the checkpoint need not: it takes half the time.
            await asyncio.to_thread(sync_files, self.folder.path)
            self.checkpoint()
            return
        self._note_deletions()
        # Chunks first, then what lists them, as in a checkpoint.
        for folder in (self.folder.current(), self.folder.records):
            await asyncio.to_thread(sync_files, folder / _LOG)

    def checkpoint(self) -> None:
        """Make everything written survive a power loss without the logs: chunks first, then what lists them.

        The order matters: a manifest on disk whose chunks are not would hide the replay of its own change,
        because the replay stops at the manifest's position. The write-ahead logs keep every single write over
        the end of the process, whatever the moment. What remains is a power loss between two syncs, when the
        system may have put pages of either shard on disk in any order: see ``edge_repair``.
        """
        self._note_deletions()
        self.chunks.flush()
        self.records.flush()
        self._checkpoint_at, self._written = time.monotonic(), 0

    def written(self, points: int) -> None:
        """Count what the logs hold."""
        self._written += points

    def _note_deletions(self) -> None:
        point = Point(_UPKEEP_ID, {}, upkeep_payload(self.deleted_points))
        self.records.update(UpdateOperation.upsert_points([point]))

    def replace_chunks(self, chunks: EdgeShard, deleted_points: int) -> None:
        """Use another shard for the chunk points, in which so many have been deleted."""
        self.chunks.close()
        self.chunks = chunks
        self.filter_indexes = edge_shards.filter_indexes(chunks)
        self.deleted_points = deleted_points

    def close(self) -> None:
        """Close the shards."""
        self.chunks.close()
        self.records.close()

    def _load_points(self, ids: Sequence[str]) -> dict[str, ChunkPoint]:
        points = (chunk_point(payload, None) for payload in edge_shards.payload_records(self.chunks, ids))
        return {point.id: point for point in points}

    def _load_manifests(self, ids: Sequence[str]) -> dict[str, Manifest]:
        return {found.id: manifest_of(found.payload) for found in edge_shards.retrieve(self.records, ids)}

    def _load_tables(self, ids: Sequence[str]) -> dict[str, TableState]:
        return {found.id: table_of(found.payload) for found in edge_shards.retrieve(self.records, ids)}

    def _recorded_deletions(self) -> int:
        for found in edge_shards.retrieve(self.records, [_UPKEEP_ID]):
            return upkeep_of(found.payload)
        return 0

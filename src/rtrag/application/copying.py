"""Copying tables when an epoch begins: page by page through the side lane, live changes first."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from rtrag.application.freshness import Freshness
from rtrag.application.ingest import Ingest
from rtrag.application.status import CopyProgress
from rtrag.application.totals import Totals
from rtrag.domain.change import DocumentChange
from rtrag.domain.manifest import PutTableState
from rtrag.domain.position import Position
from rtrag.ports.changes import SnapshotReader
from rtrag.ports.index import Index

TURN = 100  # documents indexed before a live change gets its turn
AHEAD = 3  # turns handed over: one being written, one being embedded, one waiting


class Copier:
    """Copies tables; ``progress`` says how far it is."""

    def __init__(self, index: Index, ingest: Ingest, freshness: Freshness, totals: Totals, page_size: int) -> None:
        self._index = index
        self._ingest = ingest
        self._freshness = freshness
        self._totals = totals
        self._page_size = page_size
        self._progress: dict[str, CopyProgress] = {}

    @property
    def progress(self) -> tuple[CopyProgress, ...]:
        """The tables of the copy under way, empty when none is."""
        return tuple(self._progress.values())

    async def copy(self, snapshot: SnapshotReader, epoch: int, tables: Sequence[str]) -> None:
        """Copy every table, then hide what only older epochs know: those rows were deleted meanwhile."""
        for table in tables:
            self._progress[table] = CopyProgress(table=table, copied=0, rows=await snapshot.estimate(table))
        known = (await self._index.records((), tables)).tables
        await self._index.write([PutTableState(state=known[table]) for table in tables])
        for table in tables:
            await self._copy_table(snapshot, table)
        await self.complete(epoch, tables)
        self._progress.clear()

    async def complete(self, epoch: int, tables: Sequence[str]) -> None:
        """Every row of these tables has come in this epoch: hide what only older ones know."""
        floor = Position.floor_of(epoch)
        known = (await self._index.records((), tables)).tables
        states = [replace(known[table], floor=floor, copied_epoch=epoch) for table in tables]
        await self._index.write([PutTableState(state=state) for state in states])
        await self._index.flush()
        self._freshness.copied()

    async def _copy_table(self, snapshot: SnapshotReader, table: str) -> None:
        under_way: deque[asyncio.Task[None]] = deque()
        try:
            async for page in snapshot.pages(table, self._page_size):
                for start in range(0, len(page), TURN):
                    if len(under_way) == AHEAD:
                        await under_way.popleft()
                    turn = page[start : start + TURN]
                    under_way.append(asyncio.create_task(self._index_turn(table, turn), name=f"copy {table}"))
            while under_way:
                await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _index_turn(self, table: str, turn: Sequence[DocumentChange]) -> None:
        await self._ingest.submit(turn)
        progress = self._progress[table]
        copied = progress.copied + len(turn)
        self._progress[table] = CopyProgress(table=table, copied=copied, rows=max(progress.rows, copied))
        self._totals.add("copied", len(turn))

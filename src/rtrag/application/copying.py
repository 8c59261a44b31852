"""Copying tables when an epoch begins: page by page through the side lane, live changes first."""

import asyncio
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
        for table in tables:
            await self._copy_table(snapshot, table)
        floor = Position.floor_of(epoch)
        known = (await self._index.records((), tables)).tables
        states = [replace(known[table], floor=floor, copied_epoch=epoch) for table in tables]
        await self._index.write([PutTableState(state=state) for state in states])
        await self._index.flush()
        self._freshness.copied()
        self._progress.clear()

    async def _copy_table(self, snapshot: SnapshotReader, table: str) -> None:
        under_way: asyncio.Task[None] | None = None
        async for page in snapshot.pages(table, self._page_size):
            if under_way is not None:
                await under_way
            under_way = asyncio.create_task(self._index_page(table, page), name=f"copy {table}")
        if under_way is not None:
            await under_way

    async def _index_page(self, table: str, page: Sequence[DocumentChange]) -> None:
        for start in range(0, len(page), TURN):
            await self._ingest.submit(page[start : start + TURN])
        progress = self._progress[table]
        self._progress[table] = CopyProgress(
            table=table, copied=progress.copied + len(page), rows=max(progress.rows, progress.copied + len(page))
        )
        self._totals.add("copied", len(page))

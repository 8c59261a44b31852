"""Clean-up below a floor: what a TRUNCATE or a new epoch hid is turned into tombstones, swept and forgotten."""

import asyncio
from dataclasses import replace

from rtrag.application.switching import bury
from rtrag.domain.manifest import ForgetTombstone, Manifest, Operation, PutTableState, TableState
from rtrag.domain.position import Position
from rtrag.ports.index import Index


class CleanUp:
    """Sweeps tables whose floor was raised, a page at a time beside the live changes."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._unswept: dict[str, Position] = {}
        self._hidden: dict[str, Position] = {}
        self._wake = asyncio.Event()
        self._sweeping = asyncio.Lock()  # several workers of one process share this

    @property
    def hidden_below(self) -> tuple[tuple[str, Position], ...]:
        """Floors whose tables still hold much of what they hide, for searches to filter by.

        Manifests decide what is visible in any case; the filter keeps hidden chunks from crowding out others.
        """
        return tuple(self._hidden.items())

    def request(self, state: TableState, *, hide: bool) -> None:
        """Sweep this table soon; with ``hide``, searches filter by its floor until that is done."""
        if state.floor is not None:
            self._unswept[state.table] = state.floor
            if hide:
                self._hidden[state.table] = state.floor
            self._wake.set()

    async def run(self) -> None:
        """Sweep what is requested, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            async with self._sweeping:
                await self._sweep_requested()

    async def _sweep_requested(self) -> None:
        for table, floor in tuple(self._unswept.items()):
            await self.sweep(table, floor)
            if self._unswept.get(table) == floor:
                del self._unswept[table]
                self._hidden.pop(table, None)
                await self._note(table, floor)

    async def _note(self, table: str, floor: Position) -> None:
        """Record that the table is swept, so that the next start need not look."""
        state = (await self._index.records((), (table,))).tables[table]
        if state.floor == floor:
            await self._index.write([PutTableState(state=replace(state, swept=floor))])

    async def sweep(self, table: str, floor: Position) -> None:
        """Bury every document of the table at or below the floor, then forget its tombstones there.

        A writer that still has a change from below the floor finds the floor when it reads back, and buries its
        own manifest; so one walk is enough.
        """
        async for page in self._index.manifests(table):
            below = [manifest for manifest in page if manifest.position <= floor]
            live = [manifest for manifest in below if not manifest.deleted]
            if live:
                await bury(self._index, live, floor)
            await self._forget(below, floor)
            await asyncio.sleep(0)

    async def _forget(self, below: list[Manifest], floor: Position) -> None:
        forget: list[Operation] = [
            ForgetTombstone(key=manifest.key, position=manifest.position if manifest.deleted else floor)
            for manifest in below
        ]
        if forget:
            await self._index.write(forget)

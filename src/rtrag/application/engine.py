"""The engine: keeps a capture open and the ingest loop running, through interruptions, until it is stopped."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

from rtrag.application.clean_up import CleanUp
from rtrag.application.copying import Copier
from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.ingest import Ingest, Monitor
from rtrag.application.orphans import sweep_orphans, sweep_recent_orphans
from rtrag.application.refresh import Refresh
from rtrag.application.status import Phase
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError, TransientError
from rtrag.domain.manifest import PutSourceState, PutTableState, SourceState
from rtrag.domain.position import MAX_LSN, Position, format_lsn
from rtrag.ports.changes import Capture
from rtrag.ports.index import Index

CATCH_UP_SECONDS = 5.0
FIRST_DELAY_SECONDS = 0.1
RECONNECT_SECONDS = 10.0
COMPACTION_SECONDS = 30.0
ORPHANS_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the engine drives. ``shared`` when other processes write the index as well."""

    index: Index
    ingest: Ingest
    freshness: Freshness
    gate: FreshnessGate
    refresh: Refresh
    clean_up: CleanUp
    copier: Copier
    monitor: Monitor
    open_capture: Callable[[SourceState | None, Mapping[str, int]], AbstractAsyncContextManager[Capture]]
    source_name: str
    tables: tuple[str, ...]
    compact: Callable[[], Awaitable[None]] | None = None
    withdrawn: Sequence[DocumentKey] = ()
    shared: bool = False


class Engine:
    """Runs until stopped; ``phase`` and the problems say how it is doing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stop = asyncio.Event()
        self._problems = parts.monitor.problems
        self.phase: Phase = "starting"
        self.capture: Capture | None = None
        self.connected = asyncio.Event()
        self._unclean = False
        self._problems.set("phase", "Starting: not connected to PostgreSQL yet.")

    def stop(self) -> None:
        """Finish the micro-batch under way, flush, acknowledge, and end ``run``."""
        self._stop.set()

    async def run(self) -> None:
        """Open, stream, reopen after interruptions. Raises ConfigurationError when only a person can help."""
        parts = self._parts
        self._unclean = await parts.index.state() == "unclean"
        delay = FIRST_DELAY_SECONDS
        while not self._stop.is_set():
            opened = None
            try:
                recorded, copied = await self._recorded()
                async with parts.open_capture(recorded, copied) as capture:
                    opened = time.monotonic()
                    await self._session(capture)
            except (TransientError, ConfigurationError) as error:
                if isinstance(error, ConfigurationError) and not self.connected.is_set():
                    raise  # at the start a person is there to mend it; later, mending it in the database is enough
                # One that broke off at once would break off again at once: what it fails at is not the connection.
                if opened is not None and time.monotonic() - opened > RECONNECT_SECONDS:
                    delay = FIRST_DELAY_SECONDS
                parts.monitor.totals.add("reconnects")
                self.connected.set()
                parts.freshness.stale_reason = "no connection to the stream of changes at the moment"
                self._problems.set("source", f"No stream of changes at the moment, reconnecting: {error}")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), delay * random.uniform(0.5, 1.5))  # noqa: S311
                delay = min(delay * 2, RECONNECT_SECONDS)
        self.phase = "stopped"

    async def _recorded(self) -> tuple[SourceState | None, Mapping[str, int]]:
        index, tables = self._parts.index, self._parts.tables
        records = await index.records((), tables)
        return await index.source(self._parts.source_name), {t: records.tables[t].copied_epoch for t in tables}

    async def _session(self, capture: Capture) -> None:
        parts, opening = self._parts, capture.opening
        # The state is recorded before anything is indexed under its epoch.
        await parts.index.write([PutSourceState(state=opening.state)])
        await parts.index.flush()
        parts.freshness.begin(
            epoch=opening.state.epoch,
            lsn=opening.state.durable_lsn,
            copying=opening.copy,
            stale_reason=opening.reason if opening.copy else None,
        )
        await self._hide_removed_tables(opening.state.epoch)
        await self._request_clean_up()
        self._problems.clear("source")
        async with self._connected(capture):
            tasks: list[asyncio.Task[Any]] = [
                asyncio.create_task(parts.ingest.flush_regularly(capture, opening.state), name="flush"),
                asyncio.create_task(parts.clean_up.run(), name="clean up"),
                asyncio.create_task(self._become_current(capture), name="become current"),
                asyncio.create_task(self._compact(), name="compact"),
                asyncio.create_task(self._sweep_recent(opening.state), name="sweep orphans"),
                asyncio.create_task(parts.ingest.run(capture, self._stop), name="ingest"),
            ]
            try:
                await self._until_stopped(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            self.phase = "stopping"
            await parts.ingest.flush(capture, opening.state, idle=True)

    async def _until_stopped(self, tasks: list["asyncio.Task[Any]"]) -> None:
        """Wait for the end of the ingest loop (the last task); raise what kills any task."""
        pending = set(tasks)
        while tasks[-1] in pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            ended = tasks[-1] in done and self._stop.is_set()
            for task in tasks[-1:] if ended else done:
                task.result()

    @contextlib.asynccontextmanager
    async def _connected(self, capture: Capture) -> AsyncIterator[None]:
        parts = self._parts
        self.capture = capture
        self.connected.set()
        parts.gate.connect(capture.source)
        parts.refresh.connect(capture)
        try:
            yield
        finally:
            self.capture = None
            parts.gate.disconnect(capture.source)
            parts.refresh.connect(None)

    async def _become_current(self, capture: Capture) -> None:
        """Copy if that is needed, then catch up with everything committed before the start."""
        parts = self._parts
        if capture.snapshot is not None:
            self._set_phase("copying", "The tables are being copied; answers are incomplete until that is done.")
            await parts.copier.copy(capture.snapshot, capture.opening.state.epoch, parts.tables)
            await self._request_clean_up()
        elif capture.opening.copy:
            self._set_phase("copying", "The stream brings all rows first; answers are incomplete until that is done.")
            target = await capture.source.barrier()
            while not await parts.freshness.wait_position(target, CATCH_UP_SECONDS, applied=True):
                pass
            await parts.copier.complete(capture.opening.state.epoch, parts.tables)
            await self._request_clean_up()
        self._set_phase("catching_up", "Catching up with changes committed while the service was not running.")
        target = await capture.source.barrier()
        while not await parts.freshness.wait_position(target, CATCH_UP_SECONDS):
            self._set_phase(
                "catching_up",
                f"Catching up: at {format_lsn(parts.freshness.applied_lsn)}, up to {format_lsn(target)}.",
            )
        if self._unclean:
            self._set_phase("catching_up", "Removing what a crash left behind; answers are not affected.")
            await sweep_orphans(parts.index, parts.refresh.durable_position)
            self._unclean = False
        if parts.withdrawn:
            await parts.refresh.index_now(parts.withdrawn, rewrite=True)
        self.phase = "live"
        self._problems.clear("phase")

    def _set_phase(self, phase: Phase, problem: str) -> None:
        self.phase = phase
        self._problems.set("phase", problem)

    async def _hide_removed_tables(self, epoch: int) -> None:
        """Raise the floor of tables that are no longer configured above everything; a later epoch may return.

        Not where processes share the index: tables that this one does not have may be another's.
        """
        if self._parts.shared:
            return
        floor = Position(epoch, MAX_LSN - 1, 0)
        removed = [state for state in await self._parts.index.tables() if state.table not in self._parts.tables]
        states = [
            replace(state, floor=floor, copied_epoch=0)
            for state in removed
            if state.floor is None or state.floor < floor
        ]
        if states:
            await self._parts.index.write([PutTableState(state=state) for state in states])

    async def _request_clean_up(self) -> None:
        """Sweep below the floors that are not swept yet: what a crash or a new epoch left behind."""
        for state in await self._parts.index.tables():
            if state.floor is not None and state.swept != state.floor:
                # Below the floor of a copy lies little: what was deleted while nobody looked.
                self._parts.clean_up.request(state, hide=state.floor.lsn > 0)

    async def _sweep_recent(self, state: SourceState) -> None:
        """Where processes share the index: sweep what one that was killed has left, as far as changes are durable."""
        swept = state.position
        while self._parts.shared:
            await asyncio.sleep(ORPHANS_SECONDS)
            durable = Position(state.epoch, self._parts.freshness.durable_lsn, 0)
            if durable <= swept:
                continue
            try:
                await sweep_recent_orphans(self._parts.index, swept, durable)
            except TransientError as error:
                self._problems.set("orphans", f"What a crash may have left cannot be removed, retrying: {error}")
                continue
            self._problems.clear("orphans")
            swept = durable

    async def _compact(self) -> None:
        while self._parts.compact is not None:
            await asyncio.sleep(COMPACTION_SECONDS)
            if self.phase != "live":
                continue
            try:
                await self._parts.compact()
            except TransientError as error:
                self._problems.set("compaction", f"The index could not be compacted, it works on as it is: {error}")
            else:
                self._problems.clear("compaction")

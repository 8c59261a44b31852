"""Making durable what is applied, and only then telling the source that it may forget (G1)."""

import asyncio
import time
from dataclasses import replace

from rtrag.application.freshness import Freshness
from rtrag.application.indexer import IndexOutcome
from rtrag.application.problems import Problems
from rtrag.application.totals import Totals
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import TransientError
from rtrag.domain.manifest import PutSourceState, SourceState
from rtrag.domain.position import Position
from rtrag.ports.changes import Capture
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.index import Index

FLUSH_REST = 10  # times as long as a flush took
LONGEST_SPACING = 5.0


class Acknowledgement:
    """Knows what was written since the last flush."""

    def __init__(
        self,
        *,
        index: Index,
        letters: DeadLetters,
        freshness: Freshness,
        totals: Totals,
        problems: Problems,
        idle_confirm: float,
    ) -> None:
        self._index = index
        self._letters = letters
        self._freshness = freshness
        self._totals = totals
        self._problems = problems
        self._idle_confirm = idle_confirm
        self._dirty = False
        self._mark = 0
        self._flushed_at = 0.0
        self._healed: dict[DocumentKey, Position] = {}

    def written(self) -> None:
        """Something was written that the next flush has to make durable."""
        self._dirty = True

    def applied(self, mark: int) -> None:
        """The batches of the source up to this mark are applied."""
        if mark > self._mark:
            self._mark = mark
            self._dirty = True

    def begin(self) -> None:
        """A source was opened: its marks begin anew."""
        self._mark = 0

    def note(self, outcome: IndexOutcome) -> None:
        """These documents became visible: once that is durable, older letters of them are settled."""
        self._dirty = True
        for key, position in outcome.visible.items():
            self._healed[key] = max(position, self._healed.get(key, position))

    async def regularly(self, capture: Capture, state: SourceState, spacing: float) -> None:
        """Flush and acknowledge, at most every ``spacing`` seconds, until cancelled.

        After a long flush (much was written) the next one waits longer, so that flushing never takes most of the time.
        """
        took = 0.0
        while True:
            await asyncio.sleep(max(spacing, min(took * FLUSH_REST, LONGEST_SPACING)))
            begun = time.monotonic()
            try:
                await self.flush(capture, state)
            except TransientError as error:
                self._problems.set("flush", f"Changes cannot be made durable, retrying: {error}")
            else:
                self._problems.clear("flush")
            took = time.monotonic() - begun

    async def flush(self, capture: Capture, state: SourceState, *, idle: bool = False) -> None:
        """Make what is applied durable, then acknowledge it: in this order, numbered.

        An idle stream is acknowledged only every few seconds, unless ``idle`` asks for it now.
        """
        lsn, mark, current_at = self._freshness.applied_lsn, self._mark, self._freshness.current_at()
        waited = time.monotonic() - self._flushed_at
        nothing_new = lsn <= self._freshness.durable_lsn and not self._healed
        if not self._dirty and (nothing_new or (waited < self._idle_confirm and not idle)):
            return
        healed = dict(self._healed)
        self._dirty = False
        try:
            # 1. Record how far we are, in the index itself. 2. Make index and record durable.
            told = replace(state, durable_lsn=lsn, current_at=current_at)
            await self._index.write([PutSourceState(state=told)])
            await self._index.flush()
            # 3. Letters of documents that have passed them are settled. 4. Only now may the source forget.
            for key in await self._letters.open_keys(tuple(healed)):
                await self._letters.close(key, at_or_below=healed[key])
        except BaseException:
            self._dirty = True
            raise
        for key, position in healed.items():
            if self._healed.get(key) == position:
                del self._healed[key]
        await capture.source.confirm(lsn, mark)
        self._freshness.durable_lsn = max(self._freshness.durable_lsn, lsn)
        self._flushed_at = time.monotonic()
        self._totals.add("flushes")

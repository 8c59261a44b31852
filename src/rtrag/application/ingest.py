"""The ingest loop: pull, index, advance the watermarks; made durable and acknowledged beside it.

Two lanes: live changes from the source, and side work (pages of a copy, replays, repairs) that is written only when
no live change is waiting, one micro-batch at a time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rtrag.application.acknowledgement import Acknowledgement
from rtrag.application.clean_up import CleanUp
from rtrag.application.freshness import Freshness
from rtrag.application.indexer import Indexer, IndexOutcome
from rtrag.application.patience import Patience, by_whom
from rtrag.application.problems import Problems
from rtrag.application.retry import RetryPolicy, retrying
from rtrag.application.side_lane import SideLane
from rtrag.application.stages import Moments, StageTimes
from rtrag.application.totals import Totals
from rtrag.domain.change import ChangeBatch, ChangeEvent, DocumentChange, TransactionMark, Truncate
from rtrag.domain.errors import TransientError
from rtrag.domain.manifest import PutTableState, SourceState
from rtrag.ports.changes import BatchLimits, Capture
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.index import Index

REMEMBERED_TRANSACTIONS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """Bounds of a micro-batch, seconds between flushes and, while nothing happens, between confirmations; patience.

    ``isolate_after`` is the number of failed attempts after which a batch is tried document by document, so
    that the one that cannot pass becomes a dead letter instead of holding up the others.
    """

    limits: BatchLimits = field(default_factory=BatchLimits)
    flush_spacing: float = 0.5
    idle_confirm: float = 10.0
    isolate_after: int = 5
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What the loop is told and what it tells."""

    settings: IngestSettings
    totals: Totals
    problems: Problems
    stages: StageTimes = field(default_factory=StageTimes)


class Ingest:
    """Indexes what a capture delivers."""

    def __init__(
        self,
        *,
        index: Index,
        indexer: Indexer,
        letters: DeadLetters,
        freshness: Freshness,
        clean_up: CleanUp,
        monitor: Monitor,
    ) -> None:
        self._index = index
        self._indexer = indexer
        self._freshness = freshness
        self._clean_up = clean_up
        self._settings = monitor.settings
        self._totals = monitor.totals
        self._stages = monitor.stages
        self._problems = monitor.problems
        self._epoch = 0
        self._transactions: deque[TransactionMark] = deque(maxlen=REMEMBERED_TRANSACTIONS)
        self._acknowledgement = Acknowledgement(
            index=index,
            letters=letters,
            freshness=freshness,
            totals=self._totals,
            problems=self._problems,
            idle_confirm=self._settings.idle_confirm,
        )
        self._patience = Patience(indexer, isolate_after=self._settings.isolate_after, retry=self._settings.retry)
        self._side = SideLane(
            indexer=indexer,
            patience=self._patience,
            totals=self._totals,
            problems=self._problems,
            on_outcome=self._note,
        )

    async def submit(self, changes: Sequence[DocumentChange], *, rewrite: bool = False) -> IndexOutcome:
        """Index changes that do not come from the stream; returns when they are visible or letters.

        Raises TransientError if nothing is being indexed, or if indexing stops before that.
        """
        return await self._side.submit(changes, rewrite=rewrite)

    def committed_since(self, lsn: int) -> Iterator[TransactionMark]:
        """The transactions that the stream has shown with a commit at or before ``lsn``, newest first."""
        return (mark for mark in reversed(self._transactions) if mark.lsn <= lsn)

    async def run(self, capture: Capture, stop: asyncio.Event) -> None:
        """Pull and index until ``stop`` is set and the micro-batch under way is done; raises what the source raises.

        Cancelling loses nothing either: what was not acknowledged comes again.
        """
        if capture.opening.state.epoch != self._epoch:
            self._transactions.clear()  # of another server, or another history of it
            self._epoch = capture.opening.state.epoch
        self._acknowledgement.begin()
        async with self._side.working(capture.rows) as workers:
            live = asyncio.create_task(self._pull(capture), name="pull")
            turn = asyncio.create_task(self._side.next_turn(), name="side turn")
            stopped = asyncio.create_task(stop.wait(), name="stop")
            try:
                while not stop.is_set():
                    await asyncio.wait((live, turn, stopped, *workers), return_when=asyncio.FIRST_COMPLETED)
                    for worker in workers:
                        if worker.done():
                            worker.result()
                    if live.done():
                        batch, current_at = live.result()
                        live = asyncio.create_task(self._pull(capture), name="pull")
                        await self._process(batch, current_at, capture)
                    elif turn.done():
                        ready = turn.result()
                        turn = asyncio.create_task(self._side.next_turn(), name="side turn")
                        await self._side.write(ready)
                        self._acknowledgement.written()
            finally:
                for task in (live, turn, stopped):
                    task.cancel()
                await asyncio.gather(live, turn, stopped, return_exceptions=True)

    async def flush_regularly(self, capture: Capture, state: SourceState) -> None:
        """Flush and acknowledge at most every ``flush_spacing`` seconds, until cancelled."""
        await self._acknowledgement.regularly(capture, state, self._settings.flush_spacing)

    async def flush(self, capture: Capture, state: SourceState, *, idle: bool = False) -> None:
        """Make what is applied durable, then acknowledge it; see ``Acknowledgement.flush``."""
        await self._acknowledgement.flush(capture, state, idle=idle)

    async def _pull(self, capture: Capture) -> tuple[ChangeBatch, float]:
        batch = await capture.source.next_batch(self._settings.limits)
        moment = self._freshness.received(batch.checkpoint) if batch.checkpoint else time.monotonic()
        return batch, moment

    async def _process(self, batch: ChangeBatch, current_at: float, capture: Capture) -> None:
        self._transactions.extend(batch.transactions)
        for segment in segments(batch.events):
            if isinstance(segment, Truncate):
                await self._truncate(segment)
            else:
                await self._apply(segment, capture)
        if batch.events:
            self._totals.add("batches")
            self._totals.add("events", len(batch.events))
        self._acknowledgement.applied(batch.mark)
        if batch.checkpoint is not None:
            self._freshness.advance(batch.checkpoint, current_at)

    async def _apply(self, changes: Sequence[DocumentChange], capture: Capture) -> None:
        """Apply live changes: those behind them wait until they are visible or letters."""
        pulled = time.time()
        try:
            outcome = await self._patience.apply(
                changes, lambda some: self._indexer.apply(some, capture.rows), self._failed
            )
        finally:
            self._problems.clear("indexing")
        self._note(outcome)
        visible = time.time()
        moments = Moments(pulled=pulled, embedded=outcome.embedded_at or visible, visible=visible)
        self._stages.observe(changes, outcome.visible, moments)

    async def _truncate(self, event: Truncate) -> None:
        await retrying(lambda: self._raise_floor(event), self._settings.retry, self._failed)
        self._problems.clear("indexing")

    async def _raise_floor(self, event: Truncate) -> None:
        records = await self._index.records((), (event.table,))
        state = replace(records.tables[event.table], floor=event.position)
        await self._index.write([PutTableState(state=state)])
        self._acknowledgement.written()
        self._clean_up.request(state, hide=True)

    def _note(self, outcome: IndexOutcome) -> None:
        self._acknowledgement.note(outcome)
        self._freshness.documents_visible(outcome.visible)
        self._freshness.documents_visible(letter.key for letter in outcome.failed)

    def _failed(self, error: TransientError) -> None:
        self._totals.add("retries")
        self._problems.set("indexing", f"Indexing is held up{by_whom(error)}, retrying: {error}")


def segments(events: Sequence[ChangeEvent]) -> Iterator[Truncate | Sequence[DocumentChange]]:
    """Cut at TRUNCATEs, which have to be applied in their place."""
    run: list[DocumentChange] = []
    for event in events:
        if isinstance(event, Truncate):
            if run:
                yield run
                run = []
            yield event
        else:
            run.append(event)
    if run:
        yield run

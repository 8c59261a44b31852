"""The ingest loop: pull, index, advance the watermarks, make durable, acknowledge.

Two lanes: live changes from the source, and side work (pages of a copy, replays, repairs) that gets its turn
only when no live change is waiting, one micro-batch at a time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rtrag.application.clean_up import CleanUp
from rtrag.application.freshness import Freshness
from rtrag.application.indexer import Indexer, IndexOutcome, Prepared
from rtrag.application.problems import Problems
from rtrag.application.retry import RetryPolicy, retrying
from rtrag.application.totals import Totals
from rtrag.domain.change import ChangeBatch, ChangeEvent, DocumentChange, TransactionMark, Truncate
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import EmbeddingUnavailableError, RtragError, TerminalError, TransientError
from rtrag.domain.manifest import PutSourceState, PutTableState, SourceState
from rtrag.domain.position import Position
from rtrag.ports.changes import BatchLimits, Capture
from rtrag.ports.dead_letters import DeadLetter, DeadLetters
from rtrag.ports.index import Index

IDLE_CONFIRM_SECONDS = 10.0
FLUSH_REST = 10  # times as long as a flush took
LONGEST_SPACING = 5.0
REMEMBERED_TRANSACTIONS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """Bounds of a micro-batch, seconds between flushes, and patience.

    ``isolate_after`` is the number of failed attempts after which a batch is tried document by document, so
    that the one that cannot pass becomes a dead letter instead of holding up the others.
    """

    limits: BatchLimits = field(default_factory=BatchLimits)
    flush_spacing: float = 0.5
    isolate_after: int = 5
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SideWork:
    changes: Sequence[DocumentChange]
    rewrite: bool
    done: asyncio.Future[IndexOutcome]


@dataclass(slots=True)
class _Unflushed:
    """What was done since the last flush."""

    dirty: bool = False
    flushed_at: float = 0.0
    healed: dict[DocumentKey, Position] = field(default_factory=dict)


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
        monitor: "Monitor",
    ) -> None:
        self._index = index
        self._indexer = indexer
        self._letters = letters
        self._freshness = freshness
        self._clean_up = clean_up
        self._settings = monitor.settings
        self._totals = monitor.totals
        self._problems = monitor.problems
        self._side: asyncio.Queue[_SideWork] = asyncio.Queue(maxsize=1)
        self._under_way: list[_SideWork] = []
        self._closed = True
        self._epoch = 0
        self._transactions: deque[TransactionMark] = deque(maxlen=REMEMBERED_TRANSACTIONS)
        self._unflushed = _Unflushed()

    async def submit(self, changes: Sequence[DocumentChange], *, rewrite: bool = False) -> IndexOutcome:
        """Index changes that do not come from the stream; returns when they are visible."""
        if self._closed:
            raise TransientError("Nothing is being indexed at the moment; try again when /ready is green.")
        done: asyncio.Future[IndexOutcome] = asyncio.get_running_loop().create_future()
        await self._side.put(_SideWork(changes=changes, rewrite=rewrite, done=done))
        if self._closed:
            self._interrupt()
        return await done

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
        self._closed = False
        live = asyncio.create_task(self._pull(capture), name="pull")
        side = asyncio.create_task(self._next_side_work(capture), name="side")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            while not stop.is_set():
                await asyncio.wait((live, side, stopped), return_when=asyncio.FIRST_COMPLETED)
                if live.done():
                    batch, current_at = live.result()
                    live = asyncio.create_task(self._pull(capture), name="pull")
                    await self._process(batch, current_at, capture)
                elif side.done():
                    work, prepared = side.result()
                    # The next one is planned and embedded while this one is written.
                    side = asyncio.create_task(self._next_side_work(capture), name="side")
                    await self._side_work(work, prepared, capture)
        finally:
            self._closed = True
            for task in (live, side, stopped):
                task.cancel()
            await asyncio.gather(live, side, stopped, return_exceptions=True)
            self._interrupt()

    def _interrupt(self) -> None:
        """Tell whoever submitted side work that it was not done."""
        while not self._side.empty():
            self._under_way.append(self._side.get_nowait())
        for work in self._under_way:
            if not work.done.done():
                work.done.set_exception(TransientError("Indexing was interrupted; try again."))
        self._under_way.clear()

    async def _next_side_work(self, capture: Capture) -> "tuple[_SideWork, Prepared | None]":
        work = await self._side.get()
        while work.done.done():  # whoever submitted it has gone
            work = await self._side.get()
        self._under_way.append(work)
        try:
            return work, await self._indexer.prepare(work.changes, capture.rows, rewrite=work.rewrite)
        except (TransientError, TerminalError) as error:
            self._failed(error)
            return work, None

    async def _pull(self, capture: Capture) -> tuple[ChangeBatch, float]:
        batch = await capture.source.next_batch(self._settings.limits)
        moment = self._freshness.received(batch.checkpoint) if batch.checkpoint else time.monotonic()
        return batch, moment

    async def _process(self, batch: ChangeBatch, current_at: float, capture: Capture) -> None:
        self._transactions.extend(batch.transactions)
        for segment in segments(batch.events):
            if isinstance(segment, Truncate):
                await self._retry(lambda event=segment: self._truncate(event))  # type: ignore[misc]
            else:
                await self._apply(segment, capture, rewrite=False)
        if batch.events:
            self._totals.add("batches")
            self._totals.add("events", len(batch.events))
        if batch.checkpoint is not None:
            self._freshness.advance(batch.checkpoint, current_at)

    async def _side_work(self, work: _SideWork, prepared: Prepared | None, capture: Capture) -> None:
        outcome = await self._finished(prepared)
        if outcome is None:
            outcome = await self._indexed(work.changes, capture, rewrite=work.rewrite)
        self._note(outcome)
        self._under_way.remove(work)
        if not work.done.done():
            work.done.set_result(outcome)

    async def _finished(self, prepared: Prepared | None) -> IndexOutcome | None:
        """What became of prepared work; None if it has to be done from the start."""
        if prepared is None:
            return None
        try:
            return await self._indexer.finish(prepared)
        except (TransientError, TerminalError) as error:
            self._failed(error)
            return None

    async def _apply(self, changes: Sequence[DocumentChange], capture: Capture, *, rewrite: bool) -> IndexOutcome:
        outcome = await self._indexed(changes, capture, rewrite=rewrite)
        self._note(outcome)
        return outcome

    def _note(self, outcome: IndexOutcome) -> None:
        self._unflushed.dirty = True
        healed = self._unflushed.healed
        for key, position in outcome.visible.items():
            healed[key] = max(position, healed.get(key, position))
        self._freshness.documents_visible(outcome.visible)
        self._freshness.documents_visible(letter.key for letter in outcome.failed)

    async def _indexed(self, changes: Sequence[DocumentChange], capture: Capture, *, rewrite: bool) -> IndexOutcome:
        """Apply as one batch; if that keeps failing, document by document."""
        try:
            return await self._bounded(changes, capture, rewrite=rewrite)
        except (TransientError, TerminalError):
            return await self._retry(lambda: self._isolated(changes, capture, rewrite=rewrite))
        finally:
            self._problems.clear("indexing")

    async def _bounded(self, changes: Sequence[DocumentChange], capture: Capture, *, rewrite: bool) -> IndexOutcome:
        bounded = replace(self._settings.retry, attempts=self._settings.isolate_after)
        return await retrying(
            lambda: self._indexer.apply(changes, capture.rows, rewrite=rewrite), bounded, self._failed
        )

    async def _isolated(self, changes: Sequence[DocumentChange], capture: Capture, *, rewrite: bool) -> IndexOutcome:
        """One document after the other: those whose embedding keeps failing become dead letters.

        As long as a probe fails too, the embedder is down: EmbeddingUnavailableError is raised to wait for it.
        """
        visible: dict[DocumentKey, Position] = {}
        failed: list[DeadLetter] = []
        stuck: list[list[DocumentChange]] = []
        for own in by_document(changes):
            try:
                outcome = await self._indexer.apply(own, capture.rows, rewrite=rewrite)
            except EmbeddingUnavailableError:
                stuck.append(own)
            except TerminalError as error:
                failed.append(await self._indexer.give_up(own[-1], str(error), attempts=1))
            else:
                visible |= outcome.visible
                failed += outcome.failed
        for own in stuck:
            await self._indexer.probe()
            try:
                outcome = await self._bounded(own, capture, rewrite=rewrite)
            except EmbeddingUnavailableError as error:
                await self._indexer.probe()
                attempts = self._settings.isolate_after
                failed.append(await self._indexer.give_up(own[-1], str(error), attempts=attempts))
            else:
                visible |= outcome.visible
                failed += outcome.failed
        return IndexOutcome(visible=visible, failed=tuple(failed))

    async def _truncate(self, event: Truncate) -> None:
        records = await self._index.records((), (event.table,))
        state = replace(records.tables[event.table], floor=event.position)
        await self._index.write([PutTableState(state=state)])
        self._unflushed.dirty = True
        self._clean_up.request(state, hide=True)

    async def _retry(self, operation: Callable[[], object]) -> IndexOutcome:
        return await retrying(operation, self._settings.retry, self._failed)  # type: ignore[arg-type]

    def _failed(self, error: RtragError) -> None:
        self._totals.add("retries")
        self._problems.set("indexing", f"Indexing is held up, retrying: {error}")

    async def flush_regularly(self, capture: Capture, state: SourceState) -> None:
        """Flush and acknowledge, at most every ``flush_spacing`` seconds, until cancelled.

        After a long flush (much was written) the next one waits longer, so that flushing never takes most of the time.
        """
        took = 0.0
        while True:
            await asyncio.sleep(max(self._settings.flush_spacing, min(took * FLUSH_REST, LONGEST_SPACING)))
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
        unflushed, lsn = self._unflushed, self._freshness.applied_lsn
        waited = time.monotonic() - unflushed.flushed_at
        nothing_new = lsn <= self._freshness.durable_lsn and not unflushed.healed
        if not unflushed.dirty and (nothing_new or (waited < IDLE_CONFIRM_SECONDS and not idle)):
            return
        healed = dict(unflushed.healed)
        unflushed.dirty = False
        try:
            # 1. Record how far we are, in the index itself. 2. Make index and record durable.
            await self._index.write([PutSourceState(state=replace(state, durable_lsn=lsn))])
            await self._index.flush()
            # 3. Letters of documents that have passed them are settled. 4. Only now may the source forget.
            for key in await self._letters.open_keys(tuple(healed)):
                await self._letters.close(key, at_or_below=healed[key])
        except BaseException:
            unflushed.dirty = True
            raise
        for key, position in healed.items():
            if unflushed.healed.get(key) == position:
                del unflushed.healed[key]
        await capture.source.confirm(lsn)
        self._freshness.durable_lsn = lsn
        unflushed.flushed_at = time.monotonic()
        self._totals.add("flushes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What the loop is told and what it tells."""

    settings: IngestSettings
    totals: Totals
    problems: Problems


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


def by_document(changes: Sequence[DocumentChange]) -> Sequence[list[DocumentChange]]:
    """The changes of each document, in order."""
    apart: dict[DocumentKey, list[DocumentChange]] = {}
    for change in changes:
        apart.setdefault(change.key, []).append(change)
    return list(apart.values())

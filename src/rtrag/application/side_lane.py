"""The side lane: pages of a copy, replays and repairs, indexed beside the live changes.

Planning and embedding, which may take long and fail for long, is done by workers beside the ingest loop. Only the
writing needs a turn in the loop, which live changes have first. So an embedder that is away, or a page that has to be
tried again, holds up what waits here and no live change.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rtrag.application.indexer import Indexer, IndexOutcome, Prepared
from rtrag.application.patience import Patience, by_whom
from rtrag.application.problems import Problems
from rtrag.application.totals import Totals
from rtrag.domain.change import DocumentChange
from rtrag.domain.errors import RtragError, TransientError
from rtrag.ports.changes import RowReader

WORKERS = 2  # while the work of one is written, the other plans and embeds
_TOPIC = "side lane"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    changes: Sequence[DocumentChange]
    rewrite: bool
    done: asyncio.Future[IndexOutcome]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """Prepared work that waits to be written, and who waits for what becomes of it."""

    prepared: Prepared
    outcome: asyncio.Future[IndexOutcome]


class SideLane:
    """Takes side work from anybody and asks the ingest loop for turns to write it."""

    def __init__(
        self,
        *,
        indexer: Indexer,
        patience: Patience,
        totals: Totals,
        problems: Problems,
        on_outcome: Callable[[IndexOutcome], None],
    ) -> None:
        """``on_outcome`` hears of all that is done, before whoever submitted it does."""
        self._indexer = indexer
        self._patience = patience
        self._totals = totals
        self._problems = problems
        self._on_outcome = on_outcome
        self._open = False
        self._cause = ""
        self._waiting: asyncio.Queue[_Work] = asyncio.Queue(maxsize=1)
        self._under_way: list[_Work] = []
        self._held_up: set[_Work] = set()
        self._turns: asyncio.Queue[Turn] = asyncio.Queue()
        self._preparing = asyncio.Lock()  # two batches embedded at once would only slow each other

    async def submit(self, changes: Sequence[DocumentChange], *, rewrite: bool) -> IndexOutcome:
        """Index these changes; returns when they are visible or letters, however long that takes.

        Raises TransientError if nothing is being indexed, or if indexing stops before that.
        """
        if not self._open:
            raise TransientError("Nothing is being indexed at the moment; try again when /ready is green.")
        done: asyncio.Future[IndexOutcome] = asyncio.get_running_loop().create_future()
        await self._waiting.put(_Work(changes=changes, rewrite=rewrite, done=done))
        if not self._open:
            self._interrupt()
        return await done

    @asynccontextmanager
    async def working(self, rows: RowReader) -> AsyncIterator[Sequence["asyncio.Task[None]"]]:
        """Work for the length of a block. The workers never end; one that is done was ended by its exception."""
        self._open = True
        workers = [asyncio.create_task(self._work(rows), name=f"side {number}") for number in range(WORKERS)]
        self._cause = "Indexing was interrupted; try again."
        try:
            yield workers
        except RtragError as error:
            self._cause = f"Indexing was interrupted; try again. The cause: {error}"
            raise
        finally:
            self._open = False
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            while not self._turns.empty():
                self._turns.get_nowait()
            self._interrupt()

    async def next_turn(self) -> Turn:
        """The next work that is ready to be written."""
        return await self._turns.get()

    async def write(self, turn: Turn) -> None:
        """Give it its turn. A failure is its worker's to deal with."""
        try:
            outcome = await self._indexer.finish(turn.prepared)
        except RtragError as error:
            if not turn.outcome.done():
                turn.outcome.set_exception(error)
        else:
            if not turn.outcome.done():
                turn.outcome.set_result(outcome)

    async def _work(self, rows: RowReader) -> None:
        while True:
            work = await self._waiting.get()
            if work.done.done():  # whoever submitted it has gone
                continue
            self._under_way.append(work)
            outcome = await self._indexed(work, rows)
            self._under_way.remove(work)
            self._on_outcome(outcome)
            if not work.done.done():
                work.done.set_result(outcome)

    async def _indexed(self, work: _Work, rows: RowReader) -> IndexOutcome:
        try:
            return await self._patience.apply(
                work.changes,
                lambda changes: self._once(changes, rows, rewrite=work.rewrite),
                lambda error: self._failed(work, error),
            )
        finally:
            self._held_up.discard(work)
            if not self._held_up:
                self._problems.clear(_TOPIC)

    async def _once(self, changes: Sequence[DocumentChange], rows: RowReader, *, rewrite: bool) -> IndexOutcome:
        """One attempt; whatever it waits for before its turn, no turn is taken meanwhile."""
        async with self._preparing:
            prepared = await self._indexer.prepare(changes, rows, rewrite=rewrite)
        turn = Turn(prepared=prepared, outcome=asyncio.get_running_loop().create_future())
        self._turns.put_nowait(turn)
        return await turn.outcome

    def _failed(self, work: _Work, error: TransientError) -> None:
        self._held_up.add(work)
        self._totals.add("retries")
        self._problems.set(_TOPIC, f"Part of a copy, replay or repair is held up{by_whom(error)}, retrying: {error}")

    def _interrupt(self) -> None:
        """Tell whoever submitted side work that it was not done."""
        while not self._waiting.empty():
            self._under_way.append(self._waiting.get_nowait())
        for work in self._under_way:
            if not work.done.done():
                work.done.set_exception(TransientError(self._cause))
        self._under_way.clear()

"""How far the index is: the watermarks, and who waits for them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from rtrag.domain.change import Checkpoint
from rtrag.domain.document import DocumentKey
from rtrag.domain.freshness import AsOf

BACKLOG_SECONDS = 1.0  # commits that arrive later than this after they were made tell of a backlog at the server


class Freshness:
    """The watermarks of one process.

    *applied* is how far the stream has been indexed, *visible* what an answer may claim: the same, but while the
    tables are still being copied nothing is claimed. *durable* survives a crash.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._commit_heard = float("-inf")
        self._commit_delay = 0.0
        self.epoch = 0
        self.applied_lsn = 0
        self.durable_lsn = 0
        self.received_lsn = 0
        self.commit_time: datetime | None = None
        self.stale_reason: str | None = "starting: not connected to the source yet"
        self._copying = True
        self._current_at: float | None = None
        self._position_waiters: list[tuple[int, bool, asyncio.Future[None]]] = []
        self._key_waiters: dict[DocumentKey, list[asyncio.Future[None]]] = {}

    @property
    def visible_lsn(self) -> int:
        """Everything committed at or before this position is seen by a query."""
        return 0 if self._copying else self.applied_lsn

    def begin(self, *, epoch: int, lsn: int, copying: bool, stale_reason: str | None) -> None:
        """A stream was opened at ``lsn``; with ``copying`` nothing is claimed until ``copied()``."""
        if epoch != self.epoch:
            self.applied_lsn = self.received_lsn = self.durable_lsn = 0
        self.epoch = epoch
        # What was applied once is visible, whichever worker of this process opens its stream again.
        self.applied_lsn, self.received_lsn = max(self.applied_lsn, lsn), max(self.received_lsn, lsn)
        self.durable_lsn = max(self.durable_lsn, lsn)
        self._copying = copying
        self.stale_reason = stale_reason

    def copied(self) -> None:
        """The copy is complete: what the stream has applied is visible."""
        self._copying = False
        self.stale_reason = None
        self._wake_positions()

    def received(self, checkpoint: Checkpoint) -> float:
        """Note what the source has sent; returns the moment as of which it is current, for ``advance``.

        A commit is current as of when it was made. A keepalive is current as of now, unless old commits are still
        arriving: then the server has more that it has not sent. A checkpoint that says when it was taken is of then.
        """
        self.received_lsn = max(self.received_lsn, checkpoint.lsn)
        if checkpoint.taken is not None:
            return checkpoint.taken
        now = self._clock()
        if checkpoint.commit_time is not None:
            self._commit_delay = max(0.0, (self._wall_clock() - checkpoint.commit_time).total_seconds())
            self._commit_heard = now
            return now - self._commit_delay
        if self._commit_delay > BACKLOG_SECONDS and now - self._commit_heard < BACKLOG_SECONDS:
            return now - self._commit_delay
        return now

    def documents_visible(self, keys: Iterable[DocumentKey]) -> None:
        """These documents were switched: wake who waits for one of them."""
        if not self._key_waiters:
            return
        for key in keys:
            for waiter in self._key_waiters.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def advance(self, checkpoint: Checkpoint, current_at: float) -> None:
        """Everything up to the checkpoint, current as of that moment, is applied."""
        self.applied_lsn = max(self.applied_lsn, checkpoint.lsn)
        if checkpoint.commit_time is not None:
            self.commit_time = checkpoint.commit_time
        self._current_at = current_at
        self._wake_positions()

    def lag_ms(self) -> float:
        """How long ago it was last known that nothing newer was committed; infinite before that was known."""
        if self._current_at is None:
            return float("inf")
        return max(0.0, (self._clock() - self._current_at) * 1000)

    def current_at(self) -> datetime | None:
        """When nothing newer than what is applied was known to be committed; None before that was known."""
        lag = self.lag_ms()
        return None if lag == float("inf") else self._wall_clock() - timedelta(milliseconds=lag)

    def follow(self, *, epoch: int, lsn: int, current_at: datetime | None) -> None:
        """Take over how far another process is, as it has told: no clock of two machines is quite the same."""
        self.epoch = epoch
        self.applied_lsn = self.received_lsn = self.durable_lsn = lsn
        if current_at is not None:
            behind = max(0.0, (self._wall_clock() - current_at).total_seconds())
            self._current_at = self._clock() - behind
        self._wake_positions()

    def as_of(self) -> AsOf:
        """What an answer made now reflects."""
        lag = self.lag_ms()
        return AsOf(
            epoch=self.epoch,
            lsn=self.visible_lsn,
            commit_time=self.commit_time,
            lag_ms=-1.0 if lag == float("inf") else round(lag, 3),
            stale_reason=self.stale_reason,
        )

    async def wait_position(self, lsn: int, seconds: float, *, applied: bool = False) -> bool:
        """Whether everything up to ``lsn`` became visible within that time; or applied, which counts in a copy too."""
        if self._reached(applied=applied) >= lsn:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (lsn, applied, waiter)
        self._position_waiters.append(entry)
        try:
            await asyncio.wait_for(waiter, max(seconds, 0))
        except TimeoutError:
            return False
        finally:
            if entry in self._position_waiters:
                self._position_waiters.remove(entry)
        return True

    async def wait_document(self, key: DocumentKey, seconds: float) -> bool:
        """Whether the document was switched within that time."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._key_waiters.setdefault(key, [])
        waiters.append(waiter)
        try:
            await asyncio.wait_for(waiter, max(seconds, 0))
        except TimeoutError:
            return False
        finally:
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters and self._key_waiters.get(key) is waiters:
                del self._key_waiters[key]
        return True

    def _reached(self, *, applied: bool) -> int:
        return self.applied_lsn if applied else self.visible_lsn

    def _wake_positions(self) -> None:
        still = []
        for lsn, applied, waiter in self._position_waiters:
            if lsn > self._reached(applied=applied):
                still.append((lsn, applied, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._position_waiters = still

"""Read your writes (G6): a query passes the gate when the index reflects what its token names."""

import asyncio
import time

from rtrag.application.freshness import Freshness
from rtrag.domain.errors import DeadLetterOpenError, FreshnessTimeoutError, TransientError
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.position import format_lsn
from rtrag.ports.changes import Barriers
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.index import IndexReader

# Most commits are visible within a millisecond; only what takes longer is worth a message through the log.
GRACE_SECONDS = 0.005
LOOK_AGAIN_SECONDS = 0.02  # another process may have made a document visible, which nobody tells


class FreshnessGate:
    """Waits until a token is satisfied, or says why it is not."""

    def __init__(self, *, freshness: Freshness, index: IndexReader, letters: DeadLetters) -> None:
        self._freshness = freshness
        self._index = index
        self._letters = letters
        self._source: Barriers | None = None

    def connect(self, source: Barriers) -> None:
        """Use this source for barriers."""
        self._source = source

    def disconnect(self, source: Barriers) -> None:
        """The connection of this source is gone; another's stays in use."""
        if self._source is source:
            self._source = None

    async def wait(self, token: FreshnessToken, seconds: float) -> None:
        """Return when the token is satisfied.

        Raises FreshnessTimeoutError when that took too long, DeadLetterOpenError when the document's change
        could not be indexed.
        """
        deadline = time.monotonic() + seconds
        if token.key is None:
            satisfied = await self._position(token.lsn, deadline)
        else:
            satisfied = await self._document(token, deadline)
        if not satisfied:
            raise FreshnessTimeoutError(
                f"The index has not reached {token} within {seconds * 1000:.0f} ms: everything up to "
                f"{format_lsn(self._freshness.visible_lsn)} is visible. Ask again, allow a longer wait_ms, or look "
                "at /ready for what holds it up."
            )

    async def wait_current(self, max_staleness_ms: float, seconds: float) -> None:
        """Return when the answer reflects everything committed up to that long ago."""
        if self._freshness.lag_ms() <= max_staleness_ms and self._freshness.stale_reason is None:
            return
        deadline = time.monotonic() + seconds
        if not await self._through_barrier(deadline):
            raise FreshnessTimeoutError(
                f"The index could not be shown to be at most {max_staleness_ms:.0f} ms behind within "
                f"{seconds * 1000:.0f} ms. Ask again, allow a longer wait_ms, or look at /ready for what holds it up."
            )

    async def _position(self, lsn: int, deadline: float) -> bool:
        freshness = self._freshness
        if await freshness.wait_position(lsn, min(GRACE_SECONDS, deadline - time.monotonic())):
            return True
        await self._through_barrier(deadline)
        return await freshness.wait_position(lsn, deadline - time.monotonic())

    async def _document(self, token: FreshnessToken, deadline: float) -> bool:
        key = token.key
        assert key is not None  # noqa: S101 - narrowed by the caller
        if await self._becomes_visible(token, min(time.monotonic() + GRACE_SECONDS, deadline)):
            return True
        # The write was committed before its token was given out, so a barrier that begins now lies above it. A source
        # without an order over everything takes a second for a barrier: the document is mostly there before.
        visible = asyncio.create_task(self._becomes_visible(token, deadline), name="document visible")
        barrier = asyncio.create_task(self._through_barrier(deadline), name="barrier")
        try:
            await asyncio.wait((visible, barrier), return_when=asyncio.FIRST_COMPLETED)
            if visible.done() and visible.result():
                return True
            through = await barrier
            if await (self._passed(token) if through else visible):
                return True
        finally:
            visible.cancel()
            barrier.cancel()
            await asyncio.gather(visible, barrier, return_exceptions=True)
        if await self._letters.open_keys([key]):
            raise DeadLetterOpenError(
                f"The change of {key} could not be indexed and is kept as a dead letter; see its cause with "
                f"`rtrag dlq show {key}`, mend it and replay."
            )
        return through

    async def _becomes_visible(self, token: FreshnessToken, deadline: float) -> bool:
        assert token.key is not None  # noqa: S101 - narrowed by the caller
        while not await self._passed(token):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            await self._freshness.wait_document(token.key, min(remaining, LOOK_AGAIN_SECONDS))
        return True

    async def _passed(self, token: FreshnessToken) -> bool:
        assert token.key is not None  # noqa: S101 - narrowed by the caller
        records = await self._index.records([token.key])
        manifest = records.manifests.get(token.key)
        if manifest is None or manifest.position.epoch < self._freshness.epoch:
            return False
        # A token is where the log ended before the change, so the change itself may stand exactly there. A row read
        # apart from the stream may stand above the token without the write: then a barrier decides.
        return manifest.position.lsn >= token.lsn and manifest.position.ordinal >= 0

    async def _through_barrier(self, deadline: float) -> bool:
        if self._source is None:
            return False
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                lsn = await self._source.barrier()
        except (TimeoutError, TransientError):
            return False
        return await self._freshness.wait_position(lsn, deadline - time.monotonic())

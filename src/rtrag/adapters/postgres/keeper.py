"""Keeping the embedded server running: one that ended by itself, on a full disk or without memory, is started again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rtrag.adapters.postgres.cluster import Cluster, Running, gone
from rtrag.domain.errors import ConfigurationError

LOOK_SECONDS = 0.5
FIRST_DELAY = 1.0
LONGEST_DELAY = 10.0
STEADY_SECONDS = 60.0  # a server that ran for so long did not end because of how it was started

Tell = Callable[[str | None], None]


async def start_server(cluster: Cluster) -> Running:
    """Start in a thread; when cancelled meanwhile, wait for it and stop what it started. Raises ConfigurationError."""
    starting = asyncio.ensure_future(asyncio.to_thread(cluster.start))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(ConfigurationError):  # not started, so there is nothing to stop
            await asyncio.to_thread(cluster.stop, await starting)
        raise


class Keeper:
    """Starts a server again for as long as it is kept. ``running`` is the one that runs, or ran last."""

    def __init__(self, cluster: Cluster, running: Running, tell: Tell) -> None:
        """``tell`` hears in words that the server is gone, and None when it is back."""
        self.running = running
        self._cluster = cluster
        self._tell = tell

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Keep it running until the block ends."""
        task = asyncio.create_task(self._keep(), name="keep PostgreSQL")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self) -> None:
        delay, started = FIRST_DELAY, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not gone(self.running):
                continue
            if time.monotonic() - started > STEADY_SECONDS:
                delay = FIRST_DELAY
            self._tell("The embedded PostgreSQL has ended; it is started again.")
            while not await self._started_again():
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
            started = time.monotonic()

    async def _started_again(self) -> bool:
        try:
            self.running = await start_server(self._cluster)
        except ConfigurationError as error:
            self._tell(f"The embedded PostgreSQL has ended and does not start, retrying: {_cause(error)}")
            return False
        self._tell(None)
        return True


def _cause(error: ConfigurationError) -> str:
    """The server's last words of weight, where its log is quoted, and the fix."""
    lines = error.message.strip().splitlines()
    weighty = [line[line.index(word) :] for line in lines for word in ("FATAL:", "PANIC:") if word in line]
    return f"{(weighty or lines)[-1]} Fix: {error.fix}"

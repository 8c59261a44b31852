"""Everything in one process, from PostgreSQL to the services, with the engine running beside."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from rtrag.application.copying import Copier
from rtrag.application.engine import Engine, Parts
from rtrag.application.indexer import Indexer
from rtrag.application.ingest import Ingest
from rtrag.application.problems import Problems
from rtrag.application.refresh import Refresh
from rtrag.application.services import Services
from rtrag.bootstrap.captures import open_capture
from rtrag.bootstrap.core import SOURCE, Core, check_identity, open_core
from rtrag.bootstrap.services import open_services
from rtrag.config import Settings

DRAIN_SECONDS = 30.0


@asynccontextmanager
async def open_embedded(settings: Settings) -> AsyncIterator[Services]:
    """Everything in one process: PostgreSQL (embedded unless a URL is given), capture, index, queries.

    Yields when queries can be asked; copying and catching up go on beside, and the status tells. Leaving drains:
    the micro-batch under way is finished, flushed and acknowledged. Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        core = await open_core(stack, settings)
        ingest = Ingest(
            index=core.index,
            indexer=Indexer(
                index=core.index,
                vectors=core.vectors,
                composer=core.composer,
                dead_letters=core.letters,
                totals=core.monitor.totals,
            ),
            letters=core.letters,
            freshness=core.freshness,
            clean_up=core.clean_up,
            monitor=core.monitor,
        )
        refresh = Refresh(core.freshness, ingest)
        parts = _parts(core, ingest, refresh)
        engine = Engine(parts)
        await check_identity(core)
        services = await open_services(stack, core, engine, parts, refresh)
        running = asyncio.create_task(engine.run(), name="engine")
        running.add_done_callback(lambda task: _tell_end(task, core.monitor.problems))
        stack.push_async_callback(_drain, engine, running)
        await _started(engine, running)
        yield services


def _parts(core: Core, ingest: Ingest, refresh: Refresh) -> Parts:
    settings = core.settings

    async def compact() -> None:
        if core.index.needs_compaction():
            await core.index.compact()

    return Parts(
        index=core.index,
        ingest=ingest,
        freshness=core.freshness,
        gate=core.gate,
        refresh=refresh,
        clean_up=core.clean_up,
        copier=Copier(core.index, ingest, core.freshness, core.monitor.totals, settings.source.copy_page),
        monitor=core.monitor,
        open_capture=partial(open_capture, core),
        source_name=SOURCE,
        tables=core.tables,
        compact=compact,
        withdrawn=core.index.withdrawn,
    )


async def _started(engine: Engine, running: "asyncio.Task[None]") -> None:
    """Wait for the first connection to PostgreSQL, or for the error that says why there is none."""
    connected = asyncio.create_task(engine.connected.wait(), name="connected")
    await asyncio.wait((connected, running), return_when=asyncio.FIRST_COMPLETED)
    connected.cancel()
    if running.done():
        await running


def _tell_end(task: "asyncio.Task[None]", problems: Problems) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        problems.set("engine", f"Indexing has stopped and needs a restart: {type(error).__name__}: {error}")


async def _drain(engine: Engine, running: "asyncio.Task[None]") -> None:
    engine.stop()
    # What is not acknowledged when the time is up comes again at the next start.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(running, DRAIN_SECONDS)

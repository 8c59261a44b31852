"""One process of the system: everything, or a service that shares an index with others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, TypeAlias

from rtrag.application.engine import Engine
from rtrag.application.following import Follower
from rtrag.application.letters_in_time import LettersInTime
from rtrag.application.problems import Problems
from rtrag.application.services import Services
from rtrag.bootstrap.core import SOURCE, check_identity, open_core
from rtrag.bootstrap.services import open_reading_services, open_services
from rtrag.bootstrap.stores import letters_opening
from rtrag.bootstrap.workers import Worker, workers
from rtrag.config import QdrantIndex, Settings

Role: TypeAlias = Literal["all", "update", "query"]
DRAIN_SECONDS = 30.0


@asynccontextmanager
async def open_instance(settings: Settings, role: Role = "all") -> AsyncIterator[Services]:
    """Open what a role needs: PostgreSQL (embedded unless a URL is given), capture, index, queries.

    An index in this process belongs to whoever opens it, so every role then runs everything; on a server, a process
    that only answers questions follows what the others write. Yields when queries can be asked; copying and catching
    up go on beside, and the status tells. Leaving drains: the micro-batch under way is finished, flushed and
    acknowledged. Raises ConfigurationError, and ServiceUnavailableError where a server of the index is away.
    """
    async with AsyncExitStack() as stack:
        if role == "query" and isinstance(settings.index, QdrantIndex):
            letters = LettersInTime(letters_opening(settings))
            core = await open_core(stack, settings, letters)
            follower = Follower(
                index=core.index,
                freshness=core.freshness,
                problems=core.monitor.problems,
                source_name=SOURCE,
                tables=core.tables,
                identity=core.composer.chunker.identity,
            )
            services = await open_reading_services(stack, core, follower)
            await follower.look()
            for beside, name in ((follower.run(), "follow the index"), (letters.run(), "dead letters")):
                task = asyncio.create_task(beside, name=name)
                task.add_done_callback(lambda ended: _tell_end(ended, core.monitor.problems))
                stack.push_async_callback(_cancel, task)
            yield services
            return
        core = await open_core(stack, settings)
        await check_identity(core)
        group = workers(core)
        services = await open_services(stack, core, group)
        running = [_run(worker, core.monitor.problems) for worker in group]
        stack.push_async_callback(_drain, group, running)
        await _started(group[0].engine, running[0])
        yield services


def _run(worker: Worker, problems: Problems) -> "asyncio.Task[None]":
    task = asyncio.create_task(worker.engine.run(), name="engine")
    task.add_done_callback(lambda ended: _tell_end(ended, problems))
    return task


async def _started(engine: Engine, running: "asyncio.Task[None]") -> None:
    """Wait for the first connection to PostgreSQL, or for the error that says why there is none."""
    connected = asyncio.create_task(engine.connected.wait(), name="connected")
    await asyncio.wait((connected, running), return_when=asyncio.FIRST_COMPLETED)
    connected.cancel()
    if running.done():
        await running


def _tell_end(task: "asyncio.Task[None]", problems: Problems) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        problems.set(
            task.get_name(), f"{task.get_name()} has stopped; restart this service: {type(error).__name__}: {error}"
        )


async def _drain(group: tuple[Worker, ...], running: list["asyncio.Task[None]"]) -> None:
    for worker in group:
        worker.engine.stop()
    # What is not acknowledged when the time is up comes again at the next start.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*running), DRAIN_SECONDS)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

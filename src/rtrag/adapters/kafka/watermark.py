"""Finding out what all partitions have passed.

Kafka's partitions carry no common order, and Debezium's records no word of what is complete. Three facts join to one:

1. At a settled point (``SettledPoint`` of the server) everything written at or before R has committed at or before C.
2. Debezium confirms an LSN to its slot only after Kafka Connect has stored offsets, which it does only for records
   that Kafka has acknowledged. So once the slot is confirmed up to C, everything up to R is in the topics.
3. Where the topics end at that moment is therefore beyond everything up to R.

A goal is R with those ends: reached when the group has applied up to them.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from rtrag.adapters.kafka.progress import Goal, Partition
from rtrag.domain.errors import RtragError, ServiceUnavailableError, SourceInterruptedError

_POLL_SECONDS: Final = 0.05
_REST_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 2.0
_NO_SLOT: Final = "The connector's replication slot does not exist"
_log = logging.getLogger(__name__)


class Point(Protocol):
    """Everything written at or before ``lsn`` has committed at or before ``reached``, or never will."""

    @property
    def lsn(self) -> int: ...

    @property
    def reached(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What is asked of the source database: a settled point, and up to where the slot is confirmed."""

    point: Callable[[], Awaitable[Point]]
    confirmed: Callable[[], Awaitable[int | None]]


class Watermark:
    """Sets goals: one for each barrier, and one a second besides, so that offsets and answers keep up."""

    def __init__(
        self,
        server: Server,
        ends: Callable[[], Awaitable[Mapping[Partition, tuple[int, int]]]],
        aim: Callable[[Goal], None],
        interrupt: Callable[[SourceInterruptedError], None],
    ) -> None:
        """``interrupt`` ends the stream, which has to be opened again."""
        self._server = server
        self._ends = ends
        self._aim = aim
        self._interrupt = interrupt
        self._points: list[tuple[Point, float]] = []  # not confirmed yet, each with the moment it was asked for
        self._added = asyncio.Event()
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the watermark stands still, in words."""
        return self._trouble

    async def barrier(self) -> int:
        """An LSN above everything committed before the call, whose goal is set once the slot is confirmed past it.

        Raises TransientError while the database is away.
        """
        taken = time.monotonic()
        if await self._server.confirmed() is None:
            # A slot that is made later begins confirmed past this point, though nothing of it is in Kafka.
            raise ServiceUnavailableError(_NO_SLOT)
        point = await self._server.point()
        self._points.append((point, taken))
        self._added.set()
        return point.lsn

    async def run(self) -> None:
        """Set goals until cancelled; what fails is logged when it begins and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_up(), name="settled points")
            group.create_task(self._follow(), name="confirmed points")

    async def _keep_up(self) -> None:
        while True:
            if not self._points:
                await self._trying(self.barrier)
            await asyncio.sleep(_REST_SECONDS)

    async def _follow(self) -> None:
        waited = time.monotonic()
        while True:
            if not self._points:
                self._added.clear()
                await self._added.wait()
                waited = time.monotonic()
            if await self._trying(self._set_goal):
                waited = time.monotonic()
                continue
            silent = time.monotonic() - waited
            answers = silent <= _LOOK_SECONDS or await self._kafka_answers()
            if answers and silent > _PATIENCE_SECONDS:
                self._note("Debezium does not confirm what the server wrote: it copies tables, or it does not run")
            await asyncio.sleep(_POLL_SECONDS)

    async def _set_goal(self) -> bool:
        """A goal for the highest point that the slot is confirmed past, if there is one."""
        confirmed = await self._server.confirmed()
        if confirmed is None:
            self._points.clear()
            raise ServiceUnavailableError(_NO_SLOT)
        passed = [each for each in self._points if each[0].reached <= confirmed]
        if not passed:
            return False
        ends = {each: end for each, (first, end) in (await self._ends()).items() if end > first}
        highest, taken = max(passed, key=lambda each: each[0].lsn)
        self._points = [each for each in self._points if each[0].lsn > highest.lsn]
        self._aim(Goal(lsn=highest.lsn, taken=taken, ends=ends))
        return True

    async def _kafka_answers(self) -> bool:
        """Debezium confirms nothing while its broker is away: then that is what to tell."""
        try:
            await self._ends()
        except RtragError as error:
            self._note(str(error))
            return False
        return True

    async def _trying(self, step: Callable[[], Awaitable[object]]) -> bool:
        """Whether a step did what there was to do."""
        try:
            done = bool(await step())
        except SourceInterruptedError as error:
            self._interrupt(error)
            return False
        except RtragError as error:  # what needs a person now may be mended in the database meanwhile
            self._note(str(error))
            return False
        if done:
            self._note(None)
        return done

    def _note(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            _log.warning("no_watermark reason=%r see=%r", trouble, "rtrag debezium status")
        self._trouble = trouble

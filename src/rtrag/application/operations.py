"""Status, verify and freshness for the entry points."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rtrag.application.answer import AnswerSettings
from rtrag.application.engine import Engine, Parts
from rtrag.application.following import Follower
from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.problems import Problems
from rtrag.application.services import VerifyReport
from rtrag.application.stages import Stage, Times
from rtrag.application.status import Phase, PipelineStatus
from rtrag.application.totals import Totals
from rtrag.application.verify import Verifier
from rtrag.domain.errors import NotFoundError, RtragError, TransientError
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.position import format_lsn
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.index import Index

HELD_UP: Final = "Changes are held up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every process has: its waits and model, what became of the calls of its caches, what is wrong with them."""

    waits: AnswerSettings
    model: str
    cache_counts: Callable[[], Mapping[str, int]] = dict
    cache_warnings: Callable[[], tuple[str, ...]] = tuple


class OperationsService:
    """Implements ``services.Operations`` for a process that indexes. ``parts`` are those of the first engine."""

    def __init__(
        self,
        *,
        engines: Sequence[Engine],
        parts: Parts,
        letters: DeadLetters,
        verifier: Verifier,
        common: Common,
    ) -> None:
        self._engines = engines
        self._common = common
        self._parts = parts
        self._letters = letters
        self._verifier = verifier
        self._gate: FreshnessGate = parts.gate

    async def status(self) -> PipelineStatus:
        """The state of the write path now."""
        freshness = self._parts.freshness
        problems = self.problems()
        return PipelineStatus(
            phase=self._phase(),
            ready=not problems,
            problems=problems,
            epoch=freshness.epoch,
            visible_lsn=format_lsn(freshness.visible_lsn),
            durable_lsn=format_lsn(freshness.durable_lsn),
            received_lsn=format_lsn(freshness.received_lsn),
            lag_ms=freshness.as_of().lag_ms,
            counts=await self._parts.index.counts(),
            copying=self._parts.copier.progress,
            dead_letters=await self._letters.count(),
            slot=await self._slot(),
            totals={**self._parts.monitor.totals.snapshot(), **self._common.cache_counts()},
            model=self._common.model,
            warnings=self._common.cache_warnings(),
        )

    def stages(self, seconds: float) -> Mapping[Stage, Times]:
        """How long changes took."""
        return self._parts.monitor.stages.over(seconds)

    def _phase(self) -> Phase:
        """That of the first engine which is not where it should be."""
        return next((engine.phase for engine in self._engines if engine.phase != "live"), "live")

    def problems(self) -> tuple[str, ...]:
        """Why ``/ready`` is red: current problems, what holds up a stream, tables that cannot be mapped any more."""
        captures = [engine.capture for engine in self._engines if engine.capture is not None]
        broken = {table: cause for capture in captures for table, cause in capture.broken_tables.items()}
        troubles = dict.fromkeys(capture.trouble for capture in captures if capture.trouble is not None)
        return (
            *self._parts.monitor.problems.all(),
            *(f"{HELD_UP}: {trouble}" for trouble in troubles),
            *(f"{table}: {cause}" for table, cause in broken.items()),
        )

    async def verify(self, *, repair: bool) -> VerifyReport:
        """Compare the tables with the index."""
        return await self._verifier.verify(repair=repair)

    async def wait_visible(self, token: FreshnessToken, wait_ms: float | None) -> None:
        """Return when the token is satisfied."""
        await self._gate.wait(token, self._common.waits.seconds(wait_ms))

    async def _slot(self) -> Mapping[str, int | str | None]:
        capture = self._engines[0].capture
        if capture is None:
            return {}
        try:
            return await capture.slot_health()
        except TransientError as error:
            return {"error": str(error)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a process that only answers questions can tell of."""

    index: Index
    freshness: Freshness
    follower: Follower
    problems: Problems
    letters: DeadLetters
    totals: Totals
    gate: FreshnessGate


class ReadingOperations:
    """Implements ``services.Operations`` for a process that only answers questions: it follows what others index."""

    def __init__(self, watched: Watched, common: Common) -> None:
        self._watched = watched
        self._common = common

    async def status(self) -> PipelineStatus:
        """How far the index is, as its writers have told; counters are those of this process."""
        watched, freshness = self._watched, self._watched.freshness
        problems = watched.problems.all()
        warnings = [text for text in (watched.follower.warning, watched.letters.trouble) if text is not None]
        try:
            letters = await watched.letters.count()
        except RtragError as error:  # questions are answered all the same
            letters = 0
            warnings.append(f"The dead letters cannot be read: {error}")
        return PipelineStatus(
            phase="starting" if problems else "live",
            ready=not problems,
            problems=problems,
            epoch=freshness.epoch,
            visible_lsn=format_lsn(freshness.visible_lsn),
            durable_lsn=format_lsn(freshness.durable_lsn),
            received_lsn=format_lsn(freshness.received_lsn),
            lag_ms=freshness.as_of().lag_ms,
            counts=await watched.index.counts(),
            copying=(),
            dead_letters=letters,
            slot={},
            totals={**watched.totals.snapshot(), **self._common.cache_counts()},
            model=self._common.model,
            warnings=(*warnings, *self._common.cache_warnings()),
        )

    def stages(self, seconds: float) -> Mapping[Stage, Times]:  # noqa: ARG002 - see services.Operations
        """Nothing is indexed here."""
        return {}

    async def verify(self, *, repair: bool) -> VerifyReport:  # noqa: ARG002 - see services.Operations
        """The tables are read by who indexes them. Raises NotFoundError."""
        raise NotFoundError("This process only answers questions; ask the update service to verify.")

    async def wait_visible(self, token: FreshnessToken, wait_ms: float | None) -> None:
        """Return when the token is satisfied."""
        await self._watched.gate.wait(token, self._common.waits.seconds(wait_ms))

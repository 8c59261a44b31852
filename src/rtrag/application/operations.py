"""Status, verify and freshness for the entry points."""

from collections.abc import Mapping

from rtrag.application.answer import AnswerSettings
from rtrag.application.engine import Engine, Parts
from rtrag.application.gate import FreshnessGate
from rtrag.application.services import VerifyReport
from rtrag.application.status import PipelineStatus
from rtrag.application.verify import Verifier
from rtrag.domain.errors import TransientError
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.position import format_lsn
from rtrag.ports.dead_letters import DeadLetters


class OperationsService:
    """Implements ``services.Operations``."""

    def __init__(
        self,
        *,
        engine: Engine,
        parts: Parts,
        letters: DeadLetters,
        verifier: Verifier,
        waits: AnswerSettings,
        model: str,
    ) -> None:
        self._engine = engine
        self._parts = parts
        self._letters = letters
        self._verifier = verifier
        self._waits = waits
        self._gate: FreshnessGate = parts.gate
        self._model = model

    async def status(self) -> PipelineStatus:
        """The state of the write path now."""
        freshness = self._parts.freshness
        problems = self.problems()
        return PipelineStatus(
            phase=self._engine.phase,
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
            totals=self._parts.monitor.totals.snapshot(),
            model=self._model,
        )

    def problems(self) -> tuple[str, ...]:
        """Why ``/ready`` is red: current problems, and tables whose changes cannot be mapped any more."""
        capture = self._engine.capture
        broken: Mapping[str, str] = capture.broken_tables if capture is not None else {}
        return (*self._parts.monitor.problems.all(), *(f"{table}: {cause}" for table, cause in broken.items()))

    async def verify(self, *, repair: bool) -> VerifyReport:
        """Compare the tables with the index."""
        return await self._verifier.verify(repair=repair)

    async def wait_visible(self, token: FreshnessToken, wait_ms: float | None) -> None:
        """Return when the token is satisfied."""
        allowed = self._waits.wait_ms if wait_ms is None else min(max(wait_ms, 0), self._waits.max_wait_ms)
        await self._gate.wait(token, allowed / 1000)

    async def _slot(self) -> Mapping[str, int | str | None]:
        capture = self._engine.capture
        if capture is None:
            return {}
        try:
            return await capture.slot_health()
        except TransientError as error:
            return {"error": str(error)}

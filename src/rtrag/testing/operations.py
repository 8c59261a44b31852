"""A pipeline that is in the state that a test has set, for tests of the entry points."""

from collections.abc import Mapping

from rtrag.application.services import VerifyReport
from rtrag.application.stages import Stage, Times
from rtrag.application.status import PipelineStatus
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.position import format_lsn
from rtrag.testing.state import FakeState


class FakeOperations:
    """The state that a test has set, as the pipeline's."""

    def __init__(self, state: FakeState) -> None:
        self._state = state

    async def status(self) -> PipelineStatus:
        self._state.check()
        lsn = format_lsn(self._state.visible_lsn)
        return PipelineStatus(
            phase="live" if self._state.ready else "catching_up",
            ready=self._state.ready,
            problems=self._state.problems,
            epoch=1,
            visible_lsn=lsn,
            durable_lsn=lsn,
            received_lsn=format_lsn(self._state.lsn),
            lag_ms=1.5,
            counts={"documents": len(self._state.rows), "tombstones": 0, "chunks": len(self._state.rows)},
            copying=(),
            dead_letters=len(self._state.letters),
            slot={"name": "rtrag", "active": True, "retained_bytes": 4096},
            totals={"events": 3, "documents": 2, "embedded_chunks": 2, "dead_letters": 0},
            model="fake",
        )

    def stages(self, seconds: float) -> Mapping[Stage, Times]:  # noqa: ARG002 - always the same
        return {"total": Times(count=3, p50=2.0, p95=4.0, p99=5.0, max=6.0)}

    async def verify(self, *, repair: bool) -> VerifyReport:
        self._state.check()
        found = tuple(self._state.differences)
        if repair:
            self._state.differences.clear()
        return VerifyReport(
            documents=len(self._state.rows),
            chunks=len(self._state.rows),
            differences=() if repair else found,
            repaired=len(found) if repair else 0,
        )

    async def wait_visible(self, token: FreshnessToken, wait_ms: float | None) -> None:  # noqa: ARG002 - nothing waits here
        self._state.check()
        self._state.require(token)

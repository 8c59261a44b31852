"""The shapes of the admin API: dead letters, verification, status."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rtrag.application.services import ReplayOutcome, VerifyReport
from rtrag.application.stages import Stage, Times
from rtrag.application.status import PipelineStatus
from rtrag.ports.dead_letters import DeadLetter


class DeadLetterOut(BaseModel):
    """A change that could not be processed."""

    key: str
    position: str
    cause: str
    attempts: int
    payload: dict[str, Any] = Field(description="For diagnosis alone: a replay reads the row as it is now.")
    first_failed: datetime
    last_failed: datetime

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterOut":
        return cls(
            key=str(letter.key),
            position=str(letter.position),
            cause=letter.cause,
            attempts=letter.attempts,
            payload=dict(letter.payload),
            first_failed=letter.first_failed,
            last_failed=letter.last_failed,
        )


class DeadLettersOut(BaseModel):
    """Open dead letters in key order. ``next_after`` is where the next page begins, null at the end."""

    dead_letters: list[DeadLetterOut]
    total: int
    next_after: str | None


class ReplayOut(BaseModel):
    """What became of a replayed letter."""

    key: str
    closed: bool
    cause: str | None = Field(description="Why it is still open; null when it is closed.")

    @classmethod
    def of(cls, outcome: ReplayOutcome) -> "ReplayOut":
        return cls(key=str(outcome.key), closed=outcome.closed, cause=outcome.cause)


class ReplaysOut(BaseModel):
    """What became of the replayed letters."""

    outcomes: list[ReplayOut]
    closed: int
    still_open: int


class VerifyIn(BaseModel):
    """Whether to mend what differs."""

    model_config = ConfigDict(extra="forbid")

    repair: bool = False


class DifferenceOut(BaseModel):
    """A document whose index entry is not what its row says."""

    kind: str = Field(description="missing, extra, different or orphan.")
    key: str
    detail: str


class VerifyOut(BaseModel):
    """What a comparison of tables and index found."""

    consistent: bool = Field(description="No difference remains.")
    documents: int
    chunks: int
    repaired: int
    differences: list[DifferenceOut] = Field(description="Those that remain.")

    @classmethod
    def of(cls, report: VerifyReport) -> "VerifyOut":
        return cls(
            consistent=not report.differences,
            documents=report.documents,
            chunks=report.chunks,
            repaired=report.repaired,
            differences=[DifferenceOut(kind=d.kind, key=d.key, detail=d.detail) for d in report.differences],
        )


class CopyOut(BaseModel):
    """How far the copy of a table is; ``rows`` is an estimate."""

    table: str
    copied: int
    rows: int


class TimesOut(BaseModel):
    """Milliseconds of one stage."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float


class StatusOut(BaseModel):
    """The state of the write path at one moment."""

    phase: str = Field(description="starting, copying, catching_up, live, stopping or stopped.")
    ready: bool
    problems: list[str] = Field(description="Why it is not ready, each with what to do.")
    warnings: list[str] = Field(description="What is wrong while questions are answered.")
    epoch: int
    visible_lsn: str = Field(description="Everything committed before it is seen by queries.")
    durable_lsn: str = Field(description="Everything committed before it survives a crash.")
    received_lsn: str
    lag_ms: float
    counts: dict[str, int]
    copying: list[CopyOut]
    dead_letters: int
    slot: dict[str, int | str | None]
    totals: dict[str, int] = Field(description="Since start.")
    model: str
    stages: dict[str, TimesOut] = Field(
        description="What the last changes took from one stage to the next: captured and stored (through Debezium and "
        "Kafka), pulled, embedded, visible; and in total.",
    )

    @classmethod
    def of(cls, status: PipelineStatus, stages: Mapping[Stage, Times] | None = None) -> "StatusOut":
        return cls(
            phase=status.phase,
            ready=status.ready,
            problems=list(status.problems),
            warnings=list(status.warnings),
            epoch=status.epoch,
            visible_lsn=status.visible_lsn,
            durable_lsn=status.durable_lsn,
            received_lsn=status.received_lsn,
            lag_ms=status.lag_ms,
            counts=dict(status.counts),
            copying=[CopyOut(table=c.table, copied=c.copied, rows=c.rows) for c in status.copying],
            dead_letters=status.dead_letters,
            slot=dict(status.slot),
            totals=dict(status.totals),
            model=status.model,
            stages={name: TimesOut(**asdict(times)) for name, times in (stages or {}).items()},
        )

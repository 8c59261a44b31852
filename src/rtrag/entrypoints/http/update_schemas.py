"""The shapes of the update API: documents, dead letters, status, verification."""

from datetime import datetime
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rtrag.application.services import DocumentWritten, ReplayOutcome, VerifyReport
from rtrag.application.status import PipelineStatus
from rtrag.domain.document import StoredDocument
from rtrag.entrypoints.http.texts import STORABLE, Metadata, Text
from rtrag.ports.dead_letters import DeadLetter

MAX_TITLE = 2_000
MAX_ID = 1_000


Title: TypeAlias = Annotated[str, Field(max_length=MAX_TITLE), STORABLE]


class DocumentIn(BaseModel):
    """A new document."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "session-limits",
                    "title": "Session limits",
                    "content": "Sessions are kept for 30 days.",
                    "metadata": {"team": "platform"},
                }
            ]
        },
    )

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID), STORABLE] | None = Field(
        None, description="The primary key as it is, not percent-encoded; made if left out."
    )
    title: Title = ""
    content: Text
    metadata: Metadata = Field(default_factory=dict)


class DocumentChange(BaseModel):
    """What to change of a document; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"content": "Sessions are kept for 60 days.", "version": 3}]},
    )

    title: Title | None = None
    content: Text | None = None
    metadata: Metadata | None = Field(None, description="Replaces all of the metadata.")
    version: int | None = Field(
        None, description="The version that was read: 409 if it is no longer the current one. Or send If-Match."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.title is None and self.content is None and self.metadata is None:
            raise ValueError("nothing to change: give title, content or metadata")
        return self


class DocumentOut(BaseModel):
    """A document as its row says."""

    id: str = Field(description="The primary key, percent-encoded: append it to /api/documents/ as it is.")
    key: str = Field(description="Table and primary key.")
    title: str
    content: str
    metadata: dict[str, Any]
    version: int | None = Field(description="Also the ETag; null where the table counts no versions.")
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def of(cls, document: StoredDocument) -> "DocumentOut":
        return cls(
            id=document.key.id,
            key=str(document.key),
            title=document.title,
            content=document.content,
            metadata=dict(document.metadata),
            version=document.version,
            created_at=document.created_at,
            updated_at=document.updated_at,
        )


class DocumentPage(BaseModel):
    """A page of documents in key order, and how many there are in all."""

    documents: list[DocumentOut]
    total: int
    limit: int
    offset: int


class WrittenOut(BaseModel):
    """A committed write."""

    id: str
    key: str
    document: DocumentOut | None = Field(description="The row after the write; null after a delete.")
    token: str = Field(description="Send it as min_position or X-Freshness-Token: the answer reflects this write.")

    @classmethod
    def of(cls, written: DocumentWritten) -> "WrittenOut":
        return cls(
            id=written.key.id,
            key=str(written.key),
            document=DocumentOut.of(written.document) if written.document else None,
            token=str(written.token),
        )


class VisibleOut(BaseModel):
    """A token that is satisfied."""

    token: str
    visible: bool


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


class StatusOut(BaseModel):
    """The state of the write path at one moment."""

    phase: str = Field(description="starting, copying, catching_up, live, stopping or stopped.")
    ready: bool
    problems: list[str] = Field(description="Why it is not ready, each with what to do.")
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

    @classmethod
    def of(cls, status: PipelineStatus) -> "StatusOut":
        return cls(
            phase=status.phase,
            ready=status.ready,
            problems=list(status.problems),
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
        )

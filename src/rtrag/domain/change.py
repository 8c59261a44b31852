"""Change events: what capture delivers, whatever the source."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.domain.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """When a change was captured from the log and stored by the broker, in Unix seconds of their clocks."""

    captured: float
    stored: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """A row was inserted, updated or copied.

    ``previous_key`` is set when the primary key changed: the missing parts of the draft are then those of the
    document that stood under it. A delete of the previous key comes before, in the same transaction.
    """

    position: Position
    draft: DocumentDraft
    commit_time: datetime | None = None
    previous_key: DocumentKey | None = None
    size: int = 0
    transit: Transit | None = None

    @property
    def key(self) -> DocumentKey:
        return self.draft.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A row was deleted, or left the row filter."""

    position: Position
    key: DocumentKey
    commit_time: datetime | None = None
    size: int = 0
    transit: Transit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """A table was truncated."""

    position: Position
    table: str
    commit_time: datetime | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprocessable:
    """A change that capture could not turn into a document: it becomes a dead letter at once."""

    position: Position
    key: DocumentKey
    cause: str
    payload: Mapping[str, str | None]
    commit_time: datetime | None = None
    size: int = 0
    transit: Transit | None = None


DocumentChange: TypeAlias = Upsert | Delete | Unprocessable
ChangeEvent: TypeAlias = DocumentChange | Truncate


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionMark:
    """A transaction whose commit the stream has shown: ``lsn`` is its commit LSN."""

    xid: int
    lsn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything the source has sent up to ``lsn`` has been delivered.

    ``commit_time`` is that of the last transaction delivered, None for a keepalive. ``taken`` is the moment (of the
    monotonic clock) at which nothing was committed above ``lsn`` yet, where that is not the moment of delivery.
    """

    lsn: int
    commit_time: datetime | None = None
    taken: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBatch:
    """What was waiting at the source.

    ``checkpoint`` is None where the batch does not complete anything: a transaction is only partly delivered, or
    partitions stand at different places. ``mark`` numbers the batches of a source that has no order over all of
    them; it rises, and confirming takes the newest one. ``size`` is in bytes, as received.
    """

    events: tuple[ChangeEvent, ...]
    checkpoint: Checkpoint | None
    transactions: tuple[TransactionMark, ...] = ()
    mark: int = 0
    size: int = 0

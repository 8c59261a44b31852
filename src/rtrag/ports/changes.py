"""Where changes come from."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rtrag.domain.change import ChangeBatch, DocumentChange
from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.domain.manifest import SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How much one micro-batch may hold: events, and bytes as received."""

    events: int = 256
    bytes: int = 4_000_000


class Barriers(Protocol):
    """Where a position above everything committed so far is had from."""

    async def barrier(self) -> int:
        """An LSN above everything committed before the call, which the watermark passes soon, however idle the source.

        Raises TransientError while the source database is away.
        """
        ...


class ChangeSource(Barriers, Protocol):
    """An ordered stream of committed changes, delivered at least once.

    Changes of one document arrive in the order of their positions; a restart repeats everything after the
    last confirmed checkpoint.
    """

    async def next_batch(self, limits: BatchLimits) -> ChangeBatch:
        """Wait until something is there, then return what is waiting, within the limits.

        What is not pulled is not buffered without bound: backpressure reaches the server. Cancelling loses
        nothing. Raises SourceInterruptedError when the stream broke (open it again) and ConfigurationError
        when opening it again cannot help.
        """
        ...

    async def confirm(self, lsn: int, mark: int) -> None:
        """Tell the source that everything up to this LSN, and every batch up to this mark, is durable here.

        Neither goes backwards. Raises TransientError; what was not told comes again.
        """
        ...

    async def barrier(self) -> int:
        """Commit something that passes through the stream after everything committed so far; return its LSN.

        ``next_batch`` delivers a checkpoint at or above the returned LSN soon after, however idle the source.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOpening:
    """How capture starts: the state to record, and whether the tables have to be copied for a new epoch.

    Where a copy is needed and the capture has no snapshot, the stream brings all rows before anything newer.
    ``reason`` says in words why a copy is needed, None when the stream simply resumes. ``lost`` is true when
    history was lost (slot gone or ahead), not merely never copied.
    """

    state: SourceState
    copy: bool
    reason: str | None
    lost: bool = False


class SnapshotReader(Protocol):
    """Reads the tables as they stood at the consistent point of a new slot."""

    def pages(self, table: str, size: int) -> AsyncIterator[Sequence[DocumentChange]]:
        """The rows of a table in key order, ``size`` at a time, at position ``(epoch, 0, 0)``.

        Rows that cannot be mapped come as Unprocessable.
        """
        ...

    async def estimate(self, table: str) -> int:
        """About how many rows the table has, for progress; never exact."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRead:
    """Rows read outside the stream.

    Every transaction that committed at or before ``lsn`` is in what was read, unless ``missed()`` tells it was
    still in progress in the reader's snapshot: ``xmin``, ``xmax`` and ``in_progress`` are that snapshot's.
    ``rejected`` are rows that exist and cannot become documents, with the cause: not absent, so never to be deleted.
    ``last`` is the last of both in the order of reading: where the next page begins.
    """

    lsn: int
    xmin: int
    xmax: int
    in_progress: frozenset[int]
    rows: tuple[DocumentDraft, ...]
    rejected: Mapping[DocumentKey, str] = field(default_factory=dict)
    last: DocumentKey | None = None

    def missed(self, xid: int) -> bool:
        """Whether this transaction was not visible to the reader. ``xid`` has 32 bits, the snapshot 64."""
        wide = (self.xmin & ~0xFFFFFFFF) | xid
        if wide < self.xmin - 2**31:
            wide += 2**32
        elif wide > self.xmin + 2**31:
            wide -= 2**32
        return wide >= self.xmax or wide in self.in_progress


class RowReader(Protocol):
    """Reads rows as they are now, apart from the stream."""

    async def read(self, keys: Sequence[DocumentKey]) -> RowRead:
        """The rows of these keys; a key without a row is simply absent from the result.

        Rows outside the table's row filter are absent too. Raises TransientError when the server is away.
        """
        ...

    async def page(self, table: str, after: DocumentKey | None, size: int) -> RowRead:
        """The next ``size`` rows of a table in key order (the database's order of the key columns)."""
        ...


class Capture(Protocol):
    """One opened connection to a source, with everything that belongs to it."""

    @property
    def opening(self) -> SourceOpening:
        """How it starts."""
        ...

    @property
    def source(self) -> ChangeSource: ...

    @property
    def snapshot(self) -> SnapshotReader | None:
        """The reader for the copy; None when the stream simply resumes."""
        ...

    @property
    def rows(self) -> RowReader:
        """Reads rows for changes of the stream that came without all their values."""
        ...

    @property
    def rows_apart(self) -> RowReader:
        """Reads rows that no change of the stream asks for: what it returns has a position of its own."""
        ...

    @property
    def broken_tables(self) -> Mapping[str, str]:
        """Tables whose changes cannot be mapped any more, with the cause and the fix."""
        ...

    @property
    def trouble(self) -> str | None:
        """What keeps changes from coming at the moment, in words, where the stream itself goes on waiting."""
        ...

    async def slot_health(self) -> Mapping[str, int | str | None]:
        """What the server says of the slot: ``wal_status``, ``retained_bytes``, ``safe_wal_size``."""
        ...

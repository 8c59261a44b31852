"""Rows read outside the stream: for replays of dead letters, verify and repair.

"Read the LSN, then the row" does not give a position: a commit is in the log before it is visible. So the LSN is
taken first, then a snapshot with the rows; once the stream has passed that LSN, every transaction that it showed
committed at or before it must have been visible in that snapshot, else the rows are read again.
"""

from collections.abc import Awaitable, Callable, Sequence

from rtrag.application.freshness import Freshness
from rtrag.application.ingest import Ingest
from rtrag.domain.change import Delete, DocumentChange, Unprocessable, Upsert
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import FreshnessTimeoutError, TransientError
from rtrag.domain.position import Position
from rtrag.ports.changes import Capture, RowRead

ATTEMPTS = 20


class Refresh:
    """Reads rows at a known position, and indexes rows as they are now."""

    def __init__(self, freshness: Freshness, ingest: Ingest, patience: float = 60.0) -> None:
        self._freshness = freshness
        self._ingest = ingest
        self._patience = patience
        self._capture: Capture | None = None

    def connect(self, capture: Capture | None) -> None:
        """Use this capture; None while there is no connection."""
        self._capture = capture

    @property
    def capture(self) -> Capture:
        """The open capture; raises TransientError while there is none."""
        if self._capture is None:
            raise TransientError("There is no connection to PostgreSQL at the moment; try again when /ready is green.")
        return self._capture

    async def read(self, keys: Sequence[DocumentKey]) -> RowRead:
        """The rows of these keys, containing everything committed at or before the read's ``lsn``."""
        return await self._settled(lambda: self.capture.rows_apart.read(keys))

    async def page(self, table: str, after: DocumentKey | None, size: int) -> RowRead:
        """The next rows of a table, containing everything committed at or before the read's ``lsn``."""
        return await self._settled(lambda: self.capture.rows_apart.page(table, after, size))

    def position(self, read: RowRead) -> Position:
        """Where rows of this read stand: above every change they contain, below every later one."""
        return Position.of_read(self._freshness.epoch, read.lsn)

    def durable_position(self) -> Position:
        """Everything below it has been applied for good."""
        return Position.of_read(self._freshness.epoch, self._freshness.durable_lsn)

    async def index_now(self, keys: Sequence[DocumentKey], *, rewrite: bool) -> Sequence[DocumentKey]:
        """Index these documents as their rows are now; returns those that failed again."""
        read = await self.read(keys)
        position = self.position(read)
        present = {draft.key: draft for draft in read.rows}
        changes: list[DocumentChange] = []
        for key in keys:
            if key in present:
                changes.append(Upsert(position=position, draft=present[key]))
            elif key in read.rejected:
                changes.append(Unprocessable(position=position, key=key, cause=read.rejected[key], payload={}))
            else:
                changes.append(Delete(position=position, key=key))
        outcome = await self._ingest.submit(changes, rewrite=rewrite)
        return [letter.key for letter in outcome.failed]

    async def _settled(self, read: Callable[[], Awaitable[RowRead]]) -> RowRead:
        for _ in range(ATTEMPTS):
            rows = await read()
            barrier = await self.capture.source.barrier()
            if not await self._freshness.wait_position(max(rows.lsn, barrier), self._patience):
                raise FreshnessTimeoutError(
                    "The stream did not reach the position of the rows that were read; look at /ready."
                )
            if not any(rows.missed(mark.xid) for mark in self._ingest.committed_since(rows.lsn)):
                return rows
        raise TransientError("Transactions kept committing while rows were read; try again.")

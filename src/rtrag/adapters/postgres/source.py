"""Changes of the mapped tables, read directly from a replication slot."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rtrag.adapters.postgres.catalog import TypeCatalog
from rtrag.adapters.postgres.connection import Reconnecting, rows
from rtrag.adapters.postgres.pgoutput import decode_message
from rtrag.adapters.postgres.replication_frames import Keepalive, decode_frame
from rtrag.adapters.postgres.replication_messages import (
    Begin,
    Commit,
    Message,
    Relation,
    RowDeleted,
    RowInserted,
    RowUpdated,
    Truncated,
)
from rtrag.adapters.postgres.replication_stream import ReplicationStream
from rtrag.adapters.postgres.translate import Translator
from rtrag.domain.change import ChangeBatch, ChangeEvent, Checkpoint, TransactionMark
from rtrag.domain.errors import ServiceUnavailableError, SourceInterruptedError
from rtrag.domain.mapping import TableMapping
from rtrag.domain.position import parse_lsn
from rtrag.ports.changes import BatchLimits

_REST_OF_TRANSACTION: Final = 0.001
_FAIRNESS: Final = 1_000
_BARRIER: Final = "SELECT pg_logical_emit_message(true, 'rtrag', '')::text"


@dataclass(slots=True)
class _Pending:
    """What has been read and not been returned yet."""

    events: list[ChangeEvent] = field(default_factory=list)
    transactions: list[TransactionMark] = field(default_factory=list)
    size: int = 0


class PostgresChangeSource:
    """The ChangeSource of a replication stream."""

    def __init__(
        self,
        stream: ReplicationStream,
        barriers: Reconnecting,
        catalog: TypeCatalog,
        mappings: Sequence[TableMapping],
        epoch: int,
        largest_value: int = sys.maxsize,
    ) -> None:
        """Column values of more than ``largest_value`` bytes make a change that cannot be processed."""
        self._stream = stream
        self._largest_value = largest_value
        self._barriers = barriers
        self._catalog = catalog
        self._translator = Translator(mappings, epoch)
        self._drifted: Mapping[str, str] = {}
        self._whole = _Pending()  # complete transactions
        self._part = _Pending()  # the one that is coming in
        self._inside = False
        self._messages = 1
        self._described: Relation | None = None
        self._end = self._delivered = stream.confirmed
        self._commit_time: datetime | None = None

    @property
    def broken_tables(self) -> Mapping[str, str]:
        """Tables whose changes cannot be indexed until somebody acts, with the reason."""
        return {**self._drifted, **self._translator.broken_tables}

    def report_drift(self, drifted: Mapping[str, str]) -> None:
        """Take what a check of the publication found: tables whose changes no longer arrive, with the reason."""
        self._drifted = drifted

    async def next_batch(self, limits: BatchLimits) -> ChangeBatch:
        """See ChangeSource. Whole transactions as far as they fit; a larger one in parts."""
        while True:
            filled = await self._read_waiting(limits)
            if self._something_whole():
                return self._return_whole()
            if filled:
                return self._return_part()
            if self._inside and self._part.events:
                await self._stream.wait(_REST_OF_TRANSACTION)
                if not await self._read_one():
                    return self._return_part()
            else:
                await self._stream.wait()

    async def confirm(self, lsn: int, mark: int) -> None:  # noqa: ARG002 - one stream needs no marks
        """See ChangeSource."""
        self._stream.confirm(lsn)

    async def barrier(self) -> int:
        """See ChangeSource.

        The message's transaction flushes all that was committed before, asynchronous commits included; the LSN of
        the message lies above their commits and below the checkpoint that follows.
        """
        connection = await self._barriers.get()
        found = await rows(connection, _BARRIER, doing="writing a message into the log")
        return parse_lsn(found[0][0])

    def _something_whole(self) -> bool:
        return bool(self._whole.events) or self._end > self._delivered

    def _full(self, limits: BatchLimits) -> bool:
        held = len(self._whole.events) + len(self._part.events)
        marks = len(self._whole.transactions)
        return held >= limits.events or marks >= limits.events or self._whole.size + self._part.size >= limits.bytes

    async def _read_waiting(self, limits: BatchLimits) -> bool:
        """Read what has arrived; True if the limits stopped it."""
        while not self._full(limits):
            if not await self._read_one():
                return False
        return True

    async def _read_one(self) -> bool:
        """Read one message; False if none has arrived."""
        # Cancelling loses nothing: between taking a message and noting it there is no await.
        if self._described is not None:
            await self._describe(self._described)
        if self._messages % _FAIRNESS == 0:
            await asyncio.sleep(0)
        data = self._stream.take()
        if data is None:
            return False
        self._messages += 1
        frame = decode_frame(data)
        if isinstance(frame, Keepalive):
            self._keepalive(frame)
            return True
        message = decode_message(frame.payload, self._largest_value)
        if isinstance(message, Relation):
            self._described = message
            await self._describe(message)
        else:
            self._take(message, len(frame.payload))
        return True

    def _keepalive(self, frame: Keepalive) -> None:
        self._stream.received(frame.end_lsn)
        if not self._inside:
            self._end = max(self._end, frame.end_lsn)
        if frame.reply_requested:
            self._stream.send_status()

    async def _describe(self, relation: Relation) -> None:
        oids = [column.type_oid for column in relation.columns] if self._translator.mapped(relation) else []
        try:
            converters = await self._catalog.converters(oids)
        except ServiceUnavailableError as exc:
            raise SourceInterruptedError(f"The types of table {relation.name} could not be read: {exc}") from exc
        self._translator.relation(relation, converters)
        self._described = None

    def _take(self, message: Message, size: int) -> None:
        part = self._part
        match message:
            case Begin(final_lsn, _, xid):
                self._inside = True
                self._translator.begin(message)
                part.transactions.append(TransactionMark(xid=xid, lsn=final_lsn))
            case Commit(_, end_lsn, commit_time):
                self._close_transaction(end_lsn, commit_time)
            case RowInserted() | RowUpdated() | RowDeleted():
                part.events.extend(self._translator.change(message, size))
                part.size += size
            case Truncated():
                part.events.extend(self._translator.truncate(message, size))
                part.size += size
            case _:  # origin, type names, messages of others: nothing to index
                part.size += size

    def _close_transaction(self, end_lsn: int, commit_time: datetime) -> None:
        part, whole = self._part, self._whole
        whole.events.extend(part.events)
        whole.transactions.extend(part.transactions)
        whole.size += part.size
        self._part = _Pending()
        self._inside = False
        self._end = max(self._end, end_lsn)
        self._commit_time = commit_time
        self._stream.received(end_lsn)

    def _return_whole(self) -> ChangeBatch:
        whole, self._whole = self._whole, _Pending()
        checkpoint = Checkpoint(lsn=self._end, commit_time=self._commit_time)
        self._delivered, self._commit_time = self._end, None
        return _batch(whole, checkpoint)

    def _return_part(self) -> ChangeBatch:
        part, self._part = self._part, _Pending()
        return _batch(part, None)


def _batch(pending: _Pending, checkpoint: Checkpoint | None) -> ChangeBatch:
    return ChangeBatch(
        events=tuple(pending.events),
        checkpoint=checkpoint,
        transactions=tuple(pending.transactions),
        size=pending.size,
    )

"""For a capture that does not read the log itself: positions at which nothing is in progress any more.

The stream of such a capture gives every change the LSN at which it was written, and says nothing of commits. So a
position R divides what is there from what is to come only once every transaction that was in progress at R has ended.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rtrag.adapters.postgres.connection import Connection, Reconnecting, rows
from rtrag.adapters.postgres.rows import PostgresRowReader
from rtrag.adapters.postgres.slot import slot_status
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ServiceUnavailableError, SourceInterruptedError
from rtrag.domain.position import parse_lsn
from rtrag.ports.changes import RowRead

# The LSN first: a transaction that has written below it has its number by then. Then a number of our own, above all
# those; the upper end of a snapshot would not do, it lies behind the last transaction that has ended.
_NOW: Final = "SELECT pg_current_wal_insert_lsn()::text"
_NEXT: Final = "SELECT pg_current_xact_id()::text"
_OLDEST: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
_MESSAGE: Final = "SELECT pg_logical_emit_message(true, 'rtrag', '')::text"
_IDENTITY: Final = """
    SELECT s.system_identifier::text, c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c
"""
_POLL_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledPoint:
    """Everything written at or before ``lsn`` has committed at or before ``reached``, or never will."""

    lsn: int
    reached: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which server it is, and which history of it: LSNs of two identities do not compare."""

    system_identifier: str
    timeline: int


class SettledPositions:
    """Asks a server for settled points, and how far a slot of somebody else's has been confirmed."""

    def __init__(self, connection: Reconnecting) -> None:
        self._connection = connection
        self._known: Identity | None = None

    async def identity(self) -> Identity:
        """The server behind the URL. Raises ConfigurationError or ServiceUnavailableError.

        SourceInterruptedError if it is another one than at first: a failover does not end a stream from a broker.
        """
        ((system, timeline),) = await rows(await self._connection.get(), _IDENTITY, doing="asking which server it is")
        found = Identity(system_identifier=system, timeline=int(timeline))
        self._known = self._known or found
        if found != self._known:
            raise SourceInterruptedError(
                f"PostgreSQL is another server, or another history of it, than when the stream was opened: {found}, "
                f"before {self._known}"
            )
        return found

    async def point(self) -> SettledPoint:
        """A settled point at or above all that was committed before the call.

        Ends with a message in the log, which brings the reader of the slot past it however idle the tables are.
        Raises ServiceUnavailableError when a transaction stays open for too long, and what ``identity`` raises.
        """
        await self.identity()
        connection = await self._connection.get()
        lsn = await settle(connection)
        ((reached,),) = await rows(connection, _MESSAGE, doing="writing a message into the log")
        return SettledPoint(lsn=lsn, reached=parse_lsn(reached))

    async def confirmed(self, slot: str) -> int | None:
        """Up to where the slot's reader has everything for good; None without such a slot."""
        status = await slot_status(await self._connection.get(), slot)
        return None if status is None else status.confirmed_lsn


async def settle(connection: Connection) -> int:
    """The LSN at the call, once every transaction that may have written below it has ended."""
    doing = "waiting for open transactions"
    ((now,),) = await rows(connection, _NOW, doing=doing)
    ((following,),) = await rows(connection, _NEXT, doing=doing)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                ((oldest,),) = await rows(connection, _OLDEST, doing=doing)
                if int(oldest) >= int(following):
                    return parse_lsn(now)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise ServiceUnavailableError(
            f"A transaction that writes has been open for {_PATIENCE_SECONDS:.0f} s, so nothing can be said of what "
            "came before. Find it: SELECT pid, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL "
            "ORDER BY xact_start;"
        ) from None


class SettledRowReader:
    """A RowReader whose rows hold every change written at or before their position."""

    def __init__(self, connection: Reconnecting, reader: PostgresRowReader) -> None:
        self._connection = connection
        self._reader = reader

    async def read(self, keys: Sequence[DocumentKey]) -> RowRead:
        """See RowReader."""
        lsn = await settle(await self._connection.get())
        return _settled(await self._reader.read(keys), lsn)

    async def page(self, table: str, after: DocumentKey | None, size: int) -> RowRead:
        """See RowReader."""
        lsn = await settle(await self._connection.get())
        return _settled(await self._reader.page(table, after, size), lsn)


def _settled(read: RowRead, lsn: int) -> RowRead:
    """What was in progress when the rows were read has written above the position alone."""
    return replace(read, lsn=lsn, xmin=read.xmax, in_progress=frozenset())

"""The replication connection: commands to identify the server, make a slot and start its stream.

psycopg has no replication class. ``PGconn.send_query`` starts the stream; from then on messages are exchanged
(``replication_stream``).
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Self

import psycopg
from psycopg import generators, pq

from rtrag.adapters.postgres.connection import Connection, connect, mapped, quoted, rows
from rtrag.adapters.postgres.replication_stream import ReplicationStream, StreamTimes
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.domain.position import format_lsn, parse_lsn

_OPTIONS_IN_PARENTHESES: Final = 150_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """What IDENTIFY_SYSTEM says: LSNs compare only within one system identifier and timeline."""

    system_identifier: str
    timeline: int
    flushed_lsn: int
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSlot:
    """A new slot: changes committed at or after ``consistent_point`` are streamed, all before is in the snapshot."""

    consistent_point: int
    snapshot: str


class ReplicationConnection:
    """A connection in replication mode: commands first, then one stream."""

    def __init__(self, connection: Connection, times: StreamTimes, sender_timeout: float) -> None:
        self._connection = connection
        self._times = times
        self._sender_timeout = sender_timeout
        self._stream: ReplicationStream | None = None

    @classmethod
    async def open(cls, url: str, times: StreamTimes | None = None) -> Self:
        """Connect. Raises ConfigurationError or ServiceUnavailableError."""
        connection = await connect(url, replication="database")
        try:
            query = "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'"
            found = await rows(connection, query, doing="reading wal_sender_timeout")
        except BaseException:
            await connection.close()
            raise
        return cls(connection, times or StreamTimes(), int(found[0][0]) / 1000)

    @property
    def pid(self) -> int:
        """Process id of the server's side."""
        return self._connection.pgconn.backend_pid

    async def identify(self) -> ServerIdentity:
        found = await rows(self._connection, "IDENTIFY_SYSTEM", doing="identifying the server")
        system, timeline, lsn, database = found[0]
        return ServerIdentity(
            system_identifier=str(system), timeline=int(timeline), flushed_lsn=parse_lsn(lsn), database=str(database)
        )

    async def create_slot(self, name: str) -> CreatedSlot:
        """Make a slot and export its snapshot, which lives until the next command on this connection.

        The server waits for every transaction that is writing to end: raises ServiceUnavailableError after
        ``create_slot`` seconds.
        """
        version = self._connection.pgconn.server_version
        option = "(SNAPSHOT 'export')" if version >= _OPTIONS_IN_PARENTHESES else "EXPORT_SNAPSHOT"
        command = f"CREATE_REPLICATION_SLOT {quoted(name)} LOGICAL pgoutput {option}"
        try:
            async with asyncio.timeout(self._times.create_slot):
                found = await rows(self._connection, command, doing=f"creating replication slot {name!r}")
        except TimeoutError as exc:
            raise ServiceUnavailableError(
                f"Replication slot {name!r} could not be created within {self._times.create_slot:g} s: a transaction "
                "that was open before is still running. Find it by SELECT pid, xact_start, query FROM "
                "pg_stat_activity WHERE backend_xid IS NOT NULL; it will be tried again."
            ) from exc
        _, consistent_point, snapshot, _ = found[0]
        return CreatedSlot(consistent_point=parse_lsn(consistent_point), snapshot=str(snapshot))

    async def start(self, slot: str, publication: str, lsn: int) -> ReplicationStream:
        """Start streaming what was committed at or after ``lsn``, all before it being confirmed."""
        command = (
            f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {format_lsn(lsn)} "
            f"(proto_version '1', publication_names {_literal(quoted(publication))}, messages 'true')"
        )
        pgconn = self._connection.pgconn
        with mapped(f"starting replication from slot {slot!r}"):
            pgconn.send_query(command.encode())
            result = (await self._connection.wait(generators.execute(pgconn)))[-1]
            if result.status != pq.ExecStatus.COPY_BOTH:
                raise psycopg.errors.error_from_result(result)
        self._stream = ReplicationStream(pgconn, lsn, self._times, self._sender_timeout)
        return self._stream

    async def close(self) -> None:
        """Send a last status update and close; the slot stays."""
        if self._stream is not None:
            self._stream.stop()
        await self._connection.close()


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

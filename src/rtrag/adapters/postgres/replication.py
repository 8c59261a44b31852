"""The replication connection: psycopg's low-level connection, driven by the event loop.

psycopg has no replication class. ``PGconn.send_query`` starts the stream; from then on ``get_copy_data`` and
``put_copy_data`` exchange messages without blocking. Nothing is read ahead of the application but what the kernel
and one libpq buffer hold, so an application that does not pull makes the server wait. Status updates go out from a
timer, pulled or not, so the server's wal_sender_timeout never ends a busy application's stream.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

import psycopg
from psycopg import generators, pq

from rtrag.adapters.postgres.connection import Connection, connect, domain_error, mapped, rows
from rtrag.adapters.postgres.pgoutput import encode_status
from rtrag.domain.errors import ServiceUnavailableError, SourceInterruptedError
from rtrag.domain.position import format_lsn, parse_lsn

STATUS_INTERVAL: Final = 10.0
_DEFAULT_SENDER_TIMEOUT: Final = 60.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimes:
    """Seconds. ``read_deadline`` None: one and a half times the server's wal_sender_timeout, at least 3 updates."""

    status_interval: float = STATUS_INTERVAL
    read_deadline: float | None = None
    create_slot: float = 120.0


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
        command = f"CREATE_REPLICATION_SLOT {_quoted(name)} LOGICAL pgoutput {option}"
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

    async def start(self, slot: str, publication: str, lsn: int) -> "ReplicationStream":
        """Start streaming what was committed at or after ``lsn``, all before it being confirmed."""
        command = (
            f"START_REPLICATION SLOT {_quoted(slot)} LOGICAL {format_lsn(lsn)} "
            f"(proto_version '1', publication_names {_literal(_quoted(publication))}, messages 'true')"
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


class ReplicationStream:
    """Messages as they arrive, and the status updates that answer them."""

    def __init__(self, pgconn: pq.abc.PGconn, lsn: int, times: StreamTimes, sender_timeout: float) -> None:
        self._pgconn = pgconn
        self._socket = pgconn.socket
        self._reads = 3 if pgconn.ssl_in_use else 1  # TLS may hold a decrypted rest that the socket does not show
        self._loop = asyncio.get_running_loop()
        self._received = self._confirmed = lsn
        timeout = sender_timeout or _DEFAULT_SENDER_TIMEOUT
        self._interval = min(times.status_interval, timeout / 3)
        self._deadline = times.read_deadline or max(timeout * 1.5, self._interval * 3)
        self._heard = self._pulled = self._loop.time()
        self._waiting: asyncio.Future[None] | None = None
        self._failure: psycopg.Error | None = None
        self._stopped = False
        self._timer = self._loop.call_later(self._interval, self._tick)

    @property
    def confirmed(self) -> int:
        """What the server was last told to be durable here."""
        return self._confirmed

    def take(self) -> bytes | None:
        """The next message that has arrived, None if there is none. Raises SourceInterruptedError."""
        now = self._loop.time()
        if now - self._pulled > self._interval:
            self._heard = now  # nobody listened in between: silence counts from here
        self._pulled = now
        try:
            if self._failure is not None:
                raise self._failure
            size, data = self._pgconn.get_copy_data(1)
            for _ in range(self._reads):
                if size != 0:
                    break
                self._pgconn.consume_input()
                size, data = self._pgconn.get_copy_data(1)
            if size == 0:
                return None
            if size < 0:
                self._ended()
        except psycopg.Error as exc:
            raise self._interrupted(exc) from exc
        self._heard = now
        return bytes(data)

    async def wait(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  a timeout is no error here
        """Wait until something arrives, at most ``timeout`` seconds.

        Raises SourceInterruptedError when nothing has come, not even an answer to our status updates, for longer
        than the read deadline.
        """
        if self._failure is not None:
            raise self._interrupted(self._failure)
        begun = self._loop.time()
        limit = self._heard + self._deadline - begun
        due = limit if timeout is None else min(limit, timeout)
        waiting = self._waiting = self._loop.create_future()
        self._loop.add_reader(self._socket, self._arrived)
        timer = self._loop.call_later(max(due, 0), _resolve, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None
            if not self._stopped:
                self._loop.remove_reader(self._socket)
        if self._failure is None and due == limit and self._loop.time() - begun >= limit:
            raise SourceInterruptedError(
                f"PostgreSQL has sent nothing for {self._deadline:g} s, not even an answer to status updates: the "
                "connection is dead. It will be opened again."
            )

    def received(self, lsn: int) -> None:
        """Note that everything before ``lsn`` has been read."""
        self._received = max(self._received, lsn)

    def confirm(self, lsn: int) -> None:
        """Tell the server at once that everything before ``lsn`` is durable; never goes backwards."""
        if lsn > self._confirmed:
            self._confirmed = lsn
            self._received = max(self._received, lsn)
            self.send_status()

    def send_status(self, *, reply_requested: bool = False) -> None:
        """Send a status update now; a failure shows at the next read."""
        if self._stopped or self._failure is not None:
            return
        message = encode_status(
            received=self._received,
            confirmed=self._confirmed,
            now=datetime.now(UTC),
            reply_requested=reply_requested,
        )
        self._attempt(lambda: self._put(message))

    def stop(self) -> None:
        """Send what is confirmed and let go of the event loop."""
        self.send_status()
        self._stopped = True
        self._timer.cancel()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if self._waiting is not None:
            _resolve(self._waiting)

    def _tick(self) -> None:
        """Keep the server's timer and ours alive: ask for an answer, which also tells the server's position."""
        self.send_status(reply_requested=True)
        self._timer = self._loop.call_later(self._interval, self._tick)

    def _put(self, message: bytes) -> None:
        self._pgconn.put_copy_data(message)
        self._flush()

    def _flush(self) -> None:
        if self._pgconn.flush():
            self._loop.add_writer(self._socket, self._attempt, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except psycopg.Error as exc:
            self._failure = exc
            self._loop.remove_writer(self._socket)
            self._arrived()

    def _arrived(self) -> None:
        if self._waiting is not None:
            _resolve(self._waiting)

    def _ended(self) -> None:
        """The server ended the stream: raise what it said."""
        result = self._pgconn.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        raise psycopg.OperationalError("the server ended the stream")

    def _interrupted(self, error: psycopg.Error) -> SourceInterruptedError:
        self._failure = self._failure or error
        return SourceInterruptedError(f"The replication stream broke: {domain_error(error, 'streaming changes')}")


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

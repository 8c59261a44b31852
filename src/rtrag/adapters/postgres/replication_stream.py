"""The stream of a replication connection: psycopg's low-level connection, driven by the event loop.

``get_copy_data`` and ``put_copy_data`` exchange messages without blocking. Nothing is read ahead of the application but
what the kernel and one libpq buffer hold, so an application that does not pull makes the server wait. Status updates go
out from a timer, pulled or not, so the server's wal_sender_timeout never ends a busy application's stream.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg import pq

from rtrag.adapters.postgres.connection import domain_error
from rtrag.adapters.postgres.replication_frames import encode_status
from rtrag.domain.errors import SourceInterruptedError

_LARGE: Final = 1_000_000  # bytes; below, a copy is cheaper than what a view costs
STATUS_INTERVAL: Final = 10.0
_DEFAULT_SENDER_TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimes:
    """Seconds. ``read_deadline`` None: one and a half times the server's wal_sender_timeout, at least 3 updates."""

    status_interval: float = STATUS_INTERVAL
    read_deadline: float | None = None
    create_slot: float = 120.0


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

    def take(self) -> bytes | memoryview | None:
        """The next message that has arrived, None if there is none; a large one is not copied.

        Raises SourceInterruptedError.
        """
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
        return bytes(data) if size < _LARGE else data

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

"""Dead letters in a SQLite file: they survive a crash of process and machine."""

import asyncio
import errno
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError, RtragError, TransientError
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS dead_letters (
    key          BLOB PRIMARY KEY,  -- sorts as document keys do
    document     TEXT NOT NULL,     -- the same, to read
    epoch        INTEGER NOT NULL,
    lsn          INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    payload      TEXT NOT NULL,
    first_failed TEXT NOT NULL,
    last_failed  TEXT NOT NULL
) WITHOUT ROWID
"""

PUT = """
INSERT INTO dead_letters (key, document, epoch, lsn, ordinal, cause, attempts, payload, first_failed, last_failed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    attempts    = attempts + excluded.attempts,
    last_failed = excluded.last_failed,
    {newest}
"""
# A higher epoch is left over from an index that is gone: what comes now is newer, whatever its epoch.
_NEWER = "(excluded.epoch < epoch OR (excluded.epoch, excluded.lsn, excluded.ordinal) >= (epoch, lsn, ordinal))"
_REPLACED = ("epoch", "lsn", "ordinal", "cause", "payload")
PUT_STATEMENT = PUT.format(
    newest=", ".join(f"{name} = CASE WHEN {_NEWER} THEN excluded.{name} ELSE {name} END" for name in _REPLACED)
)
COLUMNS = "document, epoch, lsn, ordinal, cause, attempts, payload, first_failed, last_failed"
KEYS_PER_QUERY = 500
BUSY_SECONDS = 5.0


class SqliteDeadLetters:
    """Port DeadLetters. Reads take microseconds and run in the event loop; writes wait for the disk in a thread."""

    def __init__(self, reader: sqlite3.Connection, writer: sqlite3.Connection) -> None:
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()

    @property
    def trouble(self) -> str | None:
        """See the port: nobody else writes them."""
        return None

    async def put(self, letter: DeadLetter) -> None:
        """Keep the letter. Of two of one document the cause and payload of the higher position stay."""
        position = letter.position
        row = (
            _sortable(letter.key),
            str(letter.key),
            position.epoch,
            position.lsn,
            position.ordinal,
            letter.cause.encode("utf-8", "backslashreplace").decode(),
            letter.attempts,
            json.dumps(dict(letter.payload)),
            letter.first_failed.isoformat(),
            letter.last_failed.isoformat(),
        )
        await self._write(lambda: self._writer.execute(PUT_STATEMENT, row).rowcount)

    async def get(self, key: DocumentKey) -> DeadLetter | None:
        """The open letter of a document, None if there is none."""
        rows = self._read(f"SELECT {COLUMNS} FROM dead_letters WHERE key = ?", (_sortable(key),))
        return _letter(rows[0]) if rows else None

    async def open_keys(self, keys: Sequence[DocumentKey]) -> frozenset[DocumentKey]:
        """Which of these documents have an open letter."""
        wanted = {_sortable(key): key for key in keys}
        found: set[DocumentKey] = set()
        encoded = list(wanted)
        for start in range(0, len(encoded), KEYS_PER_QUERY):
            part = encoded[start : start + KEYS_PER_QUERY]
            marks = ", ".join("?" * len(part))
            rows = self._read(f"SELECT key FROM dead_letters WHERE key IN ({marks})", part)
            found.update(wanted[row[0]] for row in rows)
        return frozenset(found)

    async def list(self, *, limit: int = 100, after: DocumentKey | None = None) -> Sequence[DeadLetter]:
        """Open letters in key order."""
        statement = f"SELECT {COLUMNS} FROM dead_letters WHERE key > ? ORDER BY key LIMIT ?"
        rows = self._read(statement, (_sortable(after) if after is not None else b"", limit))
        return tuple(_letter(row) for row in rows)

    async def close(self, key: DocumentKey, *, at_or_below: Position | None = None) -> bool:
        """Remove the document's letter; see the port for ``at_or_below``."""
        statement = "DELETE FROM dead_letters WHERE key = ?"
        parameters: list[object] = [_sortable(key)]
        if at_or_below is not None:
            statement += " AND (epoch > ? OR (epoch, lsn, ordinal) <= (?, ?, ?))"
            parameters += [at_or_below.epoch, at_or_below.epoch, at_or_below.lsn, at_or_below.ordinal]
        return await self._write(lambda: self._writer.execute(statement, parameters).rowcount) > 0

    async def count(self) -> int:
        """How many are open."""
        return int(self._read("SELECT count(*) FROM dead_letters", ())[0][0])

    def _read(self, statement: str, parameters: Sequence[object]) -> Sequence[Any]:
        return _mapped(lambda: self._reader.execute(statement, parameters).fetchall())

    async def _write(self, action: Callable[[], T]) -> T:
        async with self._writing:
            return await asyncio.to_thread(_mapped, action)


@asynccontextmanager
async def open_sqlite_dead_letters(path: Path) -> AsyncIterator[SqliteDeadLetters]:
    """The letters in this file, which is made if it is missing. Raises ConfigurationError if it cannot be used."""
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = stack.enter_context(closing(_connect(path)))
            reader = stack.enter_context(closing(_connect(path)))
            writer.execute(SCHEMA)
            if not os.access(path, os.W_OK):  # SQLite would open it for reading and fail with the first letter
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except (OSError, sqlite3.Error) as exc:
            raise ConfigurationError(
                f"The file of dead letters {path} cannot be used: {exc}.",
                fix="let this user write to it, free space on its disk, or move it away if it is damaged.",
            ) from exc
        yield SqliteDeadLetters(reader, writer)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before it returns
    return connection


def _mapped(action: Callable[[], T]) -> T:
    try:
        return action()
    except sqlite3.Error as exc:
        raise _error(exc) from exc


def _error(exc: sqlite3.Error) -> RtragError:
    if isinstance(exc, sqlite3.OperationalError):  # full, busy, input/output error, read-only
        return TransientError(f"The file of dead letters cannot be written or read now: {exc}.")
    return ConfigurationError(
        f"The file of dead letters is damaged: {exc}.", fix="move it away and run `rtrag verify --repair`."
    )


def _sortable(key: DocumentKey) -> bytes:
    """Compares as bytes like document keys compare; PostgreSQL's text cannot hold the separator."""
    return "\0".join((key.table, *key.values)).encode("utf-8", "surrogatepass")


def _letter(row: Sequence[Any]) -> DeadLetter:
    document, epoch, lsn, ordinal, cause, attempts, payload, first_failed, last_failed = row
    return DeadLetter(
        key=DocumentKey.parse(document),
        position=Position(epoch, lsn, ordinal),
        cause=cause,
        attempts=attempts,
        payload=json.loads(payload),
        first_failed=datetime.fromisoformat(first_failed),
        last_failed=datetime.fromisoformat(last_failed),
    )

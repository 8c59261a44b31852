"""Replays events into ``public.documents`` by SQL, one transaction a commit, and records them in the history."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from benchmarks.history import Change, History
from benchmarks.streams import Event, StartDocument

from rtrag.domain.document import DocumentKey
from rtrag.domain.position import parse_lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A transaction that was committed.

    Attributes:
        number: its number in the history.
        token: ``pg_current_wal_insert_lsn()`` taken right after it, as the freshness token of a write in SQL.
        documents: tokens of each document in it, which need no order over all tables.
        returned: ``time.perf_counter()`` when the commit's return was here.
    """

    number: int
    token: str
    documents: tuple[str, ...]
    returned: float


class Writer:
    """The only writer of the table, over one connection."""

    def __init__(self, postgres_url: str, history: History) -> None:
        self._url = postgres_url
        self._connection = psycopg.connect(postgres_url, autocommit=True)
        self._history = history
        self._last: Change | None = None

    def close(self) -> None:
        self._connection.close()

    def reconnect(self) -> bool:
        """Connect again after the server went away; whether the transaction that was open then has committed.

        The history is put right. False also when none was begun: replay the events again.
        """
        self._connection.close()
        self._connection = psycopg.connect(self._url, autocommit=True)
        number = self._history.begun
        if number == self._history.sealed or self._last is None:
            return False
        if not self._stands(self._last):
            self._history.abort(number)
            return False
        self._history.seal(number, parse_lsn(self._insert_lsn()))
        return True

    def _stands(self, change: Change) -> bool:
        """Whether the table has what a change leaves behind; each one leaves what was not there before it."""
        row = self._connection.execute("SELECT version FROM public.documents WHERE id = %s", (change.id,)).fetchone()
        return (None if row is None else row[0]) == change.version

    def copy(self, documents: Iterable[StartDocument]) -> int:
        """Insert start documents by COPY, in one transaction; how many."""
        changes = []
        with (
            self._connection.transaction(),
            self._connection.cursor() as cursor,
            cursor.copy("COPY public.documents (id, title, content) FROM STDIN") as copy,
        ):
            for document in documents:
                copy.write_row((document.id, document.title, document.content))
                changes.append(Change(id=document.id, version=1, content=document.content))
        number = self._history.begin(changes)
        self._history.seal(number, parse_lsn(self._insert_lsn()))
        return len(changes)

    def token(self) -> str:
        """A token for everything committed so far."""
        return self._insert_lsn()

    def apply(self, events: Sequence[Event]) -> Commit:
        """Replay the events of one commit in one transaction. Raises psycopg.OperationalError if the server goes."""
        execute = self._connection.execute
        execute("BEGIN")
        before = self._insert_lsn()
        changes = [change for event in events for change in self._change(event)]
        self._last = changes[-1]
        number = self._history.begin(changes)
        # One round trip for both: the commit has returned when its token is here.
        cursor = execute("COMMIT; SELECT pg_current_wal_insert_lsn()::text")
        returned = time.perf_counter()
        cursor.nextset()
        row = cursor.fetchone()
        if row is None:
            raise psycopg.OperationalError("no LSN came back with the commit")
        self._history.seal(number, parse_lsn(row[0]))
        keys = dict.fromkeys(DocumentKey("public.documents", (change.id,)) for change in changes)
        documents = tuple(f"{key}@{before}" for key in keys)
        return Commit(number=number, token=row[0], documents=documents, returned=returned)

    def commit_through_kills(self, events: Sequence[Event]) -> None:
        """Try until it is committed; a connection lost in between leaves open whether it was, so look."""
        lost = False
        while True:
            try:
                if lost and self.reconnect():
                    return
                self.apply(events)
            except psycopg.OperationalError:
                lost = True
                time.sleep(0.05)
            else:
                return

    def _change(self, event: Event) -> list[Change]:
        version = self._execute(event)
        if event.operation == "delete":
            return [Change(id=event.id, version=None, content=None)]
        after = Change(id=event.id, version=version, content=event.content)
        if event.operation == "rename" and event.previous_id != event.id:
            return [Change(id=event.previous_id, version=None, content=None), after]
        return [after]

    def _execute(self, event: Event) -> int:
        """One statement; the version of the row after it (of a deleted one: the last)."""
        values: tuple[str | None, ...]
        match event.operation:
            case "insert":
                statement = "INSERT INTO public.documents (id, title, content) VALUES (%s, %s, %s) RETURNING version"
                values = (event.id, event.title, event.content)
            case "delete":
                statement, values = "DELETE FROM public.documents WHERE id = %s RETURNING version", (event.id,)
            case "update" | "rename":
                statement = (
                    "UPDATE public.documents SET id = %s, title = %s, content = %s WHERE id = %s RETURNING version"
                )
                values = (event.id, event.title, event.content, event.previous_id)
        row = self._connection.execute(statement, values).fetchone()
        if row is None:
            raise ValueError(f"event {event.seq}: {event.operation} found no document {event.previous_id!r}")
        return int(row[0])

    def _insert_lsn(self) -> str:
        row = self._connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        if row is None:
            raise psycopg.OperationalError("no LSN came back")
        return str(row[0])

"""An instance behind a running stack under load: a writer that writes steadily, readers that check every answer.

The instance is ``rtrag serve all`` with two workers, a process of its own, which reads what Debezium puts into Kafka.
One reader asks without tokens, so that it sees what answers say of themselves whatever happens; another one asks with
the token of the newest commit.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import psycopg
from benchmarks.asking import Reader, UnexpectedStatusError, wait_visible
from benchmarks.client import Client, ServerGoneError
from benchmarks.edits import Edits
from benchmarks.history import History, Tally
from benchmarks.instance import InstanceFailedError, free_port, kill, launch
from benchmarks.stack import Way, addresses, way
from benchmarks.streams import Event as Edit
from benchmarks.writer import Writer

from rtrag.entrypoints.stack.layout import Stack

DOCUMENTS = 60
COMMITS_PER_SECOND = 25.0
READS_PER_SECOND = 15.0
AROUND_SECONDS = 1.0  # of load before a fault and after it
PATIENCE_SECONDS = 180.0


class SteadyWriter(Thread):
    """Commits until it is told to end, through whatever happens to PostgreSQL."""

    def __init__(self, writer: Writer, commits: Iterator[Sequence[Edit]]) -> None:
        super().__init__(name="writer", daemon=True)
        self.failure: str | None = None
        self.number = 0
        self._writer = writer
        self._commits = commits
        self._ended = Event()
        self._committing = Lock()

    def run(self) -> None:
        try:
            while not self._ended.wait(1 / COMMITS_PER_SECOND):
                with self._committing:
                    self._writer.commit_through_kills(next(self._commits))
                self.number += 1
        except (psycopg.Error, ValueError) as exc:
            self.failure = f"the writer failed: {exc!r}"

    @contextmanager
    def held(self) -> Iterator[Writer]:
        """No transaction is open and none begins; the writer's connection is the caller's meanwhile."""
        with self._committing:
            yield self._writer

    def stop(self) -> None:
        """End, and close the connection."""
        self._ended.set()
        if self.is_alive():
            self.join()
        self._writer.close()


class Load:
    """Made by ``under_load``."""

    def __init__(self, stack: Stack, own: Way, folder: Path, edits: Edits) -> None:
        self.stack = stack
        self.way = own
        self._folder = folder
        self._settings = {
            **own.environment,
            "REDIS_URL": f"redis://{stack.address('redis')}/0",
            "RTRAG_SOURCE__WORKERS": "2",
        }
        self._history = History()
        self._edits = edits
        writer = Writer(own.postgres_url, self._history)
        writer.copy(edits.start())
        own.connect()
        self.instance = launch(folder, port=free_port(), settings=self._settings)
        self._writer = SteadyWriter(writer, edits.commits())

    def begin(self) -> None:
        """Start writing, once the start documents are there."""
        with Client(self.instance.url) as client:
            self.instance.wait_ready(client)
        self._history.confirm_visible(0)
        self._writer.start()

    def end(self) -> None:
        """Stop writing and the instance."""
        self._writer.stop()
        self.instance.stop()

    def kill_instance(self) -> None:
        """``kill -9`` in the middle of whatever it does, and another one in its place."""
        kill(self.instance.process, self._folder, postgres=False)
        self._history.forget_visible()
        self.instance = launch(self._folder, port=int(self.instance.url.rpartition(":")[2]), settings=self._settings)

    def through(self, fault: Callable[["Load"], None]) -> dict[str, Any]:
        """What readers saw around a fault, and what table and index differ in once all is visible.

        Raises InstanceFailedError when that does not become so.
        """
        readers = [self._reader(tokens) for tokens in (0.0, 1.0)]
        first = self._writer.number
        for reader in readers:
            reader.start()
        time.sleep(AROUND_SECONDS)
        began = time.monotonic()
        fault(self)
        recovered = self._wait_visible() - began
        time.sleep(AROUND_SECONDS)
        self._wait_visible()
        tally = Tally()
        with self._writer.held(), Client(self.instance.url) as client:
            for reader in readers:
                reader.stop()
                tally.merge(reader.tally)
            wait_visible(client, self._token())
            self.instance.wait_ready(client)
            differences = self.instance.verify(client)
            letters = self.instance.status(client)["dead_letters"]
        if self._writer.failure:
            raise InstanceFailedError(self._writer.failure)
        return {
            "recovered_s": round(recovered, 1),
            "commits": self._writer.number - first,
            "reads": [reader.tally.reads for reader in readers],
            "stale": tally.counts["stale"],
            "torn": tally.counts["torn"],
            "missing": tally.counts["missing"],
            "dead_letters": letters,
            "verify_differences": len(differences),
            "examples": [*(violation.detail for violation in tally.examples[:5]), *map(str, differences[:5])],
        }

    def _reader(self, tokens: float) -> Reader:
        reader = Reader(
            self.instance.url, self._history, per_second=READS_PER_SECOND, through_kills=True, tokens=tokens
        )
        for sentence in self._edits.lasting_sentences():
            reader.present.add(sentence)
        return reader

    def _wait_visible(self) -> float:
        """Until everything committed by now is visible; when that was so."""
        with self._writer.held():
            number, token = self._history.sealed, self._token()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with Client(self.instance.url) as client:
                    wait_visible(client, token)
            except (UnexpectedStatusError, ServerGoneError) as exc:
                if time.monotonic() > deadline:
                    raise InstanceFailedError(f"what was written did not become visible: {exc}") from exc
                time.sleep(0.1)
            else:
                self._history.confirm_visible(number)
                return time.monotonic()

    def _token(self) -> str:
        with psycopg.connect(self.way.postgres_url) as connection:
            row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        return str(row[0]) if row else ""


@contextmanager
def under_load(stack: Stack, folder: Path, *, seed: int = 1) -> Iterator[Load]:
    """A database, connector and instance of their own, written to until the block ends."""
    with way(addresses(stack)) as own:
        load = Load(stack, own, folder, Edits(DOCUMENTS, seed))
        try:
            load.begin()
            yield load
        finally:
            load.end()

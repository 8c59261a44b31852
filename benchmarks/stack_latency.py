"""How long from a commit to being visible through Debezium and Kafka, stage by stage, under a steady load.

    make stack && python -m benchmarks.stack_latency [--rate 200] [--seconds 60] [--workers 1] [--json]

Documents of five paragraphs, 2,000 characters in all; each update is a transaction of its own that changes one
paragraph, at a given rate, whether or not the one before is visible yet. The stages are the service's own word
(``GET /api/pipeline/status``), from the commit time in PostgreSQL's log; ``asked_ms`` is what a client sees that waits
for the token of one update a second. ``cpu`` is in cores, by part, everything on this machine.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import psutil
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.asking import wait_visible
from benchmarks.client import Client
from benchmarks.instance import Instance, first_copy_rate, running
from benchmarks.report import emit, percentiles, progress
from benchmarks.stack import Way, addresses, remembered_stack, way
from benchmarks.words import Vocabulary

from rtrag.domain.document import DocumentKey
from rtrag.entrypoints.stack import process
from rtrag.entrypoints.stack.layout import DEFAULT_FOLDER

PARAGRAPHS = 5
PARAGRAPH_CHARACTERS = 398
PARTS = ("postgres", "kafka", "connect")
TABLE = "public.documents"
UPSERT = (
    f"INSERT INTO {TABLE} (id, title, content) VALUES ('asker', 'Asker', %s) "
    "ON CONFLICT (id) DO UPDATE SET content = excluded.content"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure. Times in seconds, ``rate`` in updates a second."""

    folder: Path
    documents: int
    rate: float
    seconds: float
    warm_up: float
    workers: int
    connector: Mapping[str, str]
    as_json: bool


class Updates:
    """Updates of one paragraph at a time, at a steady rate."""

    def __init__(self, url: str, documents: int) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._documents = documents
        self._random = Random(1)
        self._words = Vocabulary(seed=1)
        self._texts = {number: [self._paragraph() for _ in range(PARAGRAPHS)] for number in range(documents)}

    def fill(self) -> int:
        """Write the documents as they begin."""
        with self._connection.cursor() as cursor, cursor.copy(f"COPY {TABLE} (id, title, content) FROM STDIN") as copy:
            for number, paragraphs in self._texts.items():
                copy.write_row((f"doc-{number}", f"Document {number}", "\n\n".join(paragraphs)))
        return self._documents

    def update(self) -> str:
        """Change a paragraph; the id of its document."""
        number = self._random.randrange(self._documents)
        paragraphs = self._texts[number]
        paragraphs[self._random.randrange(PARAGRAPHS)] = self._paragraph()
        statement = f"UPDATE {TABLE} SET content = %s WHERE id = %s"
        self._connection.execute(statement.encode(), ("\n\n".join(paragraphs), f"doc-{number}"))
        return f"doc-{number}"

    def close(self) -> None:
        self._connection.close()

    def _paragraph(self) -> str:
        return " ".join(self._words.draw(PARAGRAPH_CHARACTERS // 5))[:PARAGRAPH_CHARACTERS]


@dataclass(slots=True, kw_only=True)
class Load:
    """What a load did: updates, and how late the latest was (it should have been sent then)."""

    updates: int = 0
    latest_ms: float = 0.0


def drive(updates: Updates, options: Options, seconds: float, label: str) -> Load:
    """Send updates for so long."""
    load = Load()
    total = int(seconds * options.rate)
    began = time.perf_counter()
    with progress(label, total, shown=not options.as_json) as advance:
        for number in range(total):
            due = began + number / options.rate
            now = time.perf_counter()
            if now < due:
                time.sleep(due - now)
            else:
                load.latest_ms = max(load.latest_ms, (now - due) * 1000)
            updates.update()
            load.updates += 1
            advance(1)
    return load


class Asker(Thread):
    """Once a second updates a document of its own and waits for its token, as a client that has to see its write."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(name="asker", daemon=True)
        self._instance = instance
        self._stopped = Event()
        self.waited_ms: list[float] = []

    def run(self) -> None:
        """Until stopped."""
        with (
            psycopg.connect(self._instance.postgres_url, autocommit=True) as connection,
            Client(self._instance.url) as client,
        ):
            number = 0
            while not self._stopped.wait(1.0):
                number += 1
                before = log_position(connection)
                connection.execute(UPSERT.encode(), (f"seen {number}",))
                returned = time.perf_counter()
                wait_visible(client, f"{DocumentKey(TABLE, ('asker',))}@{before}")
                self.waited_ms.append((time.perf_counter() - returned) * 1000)

    def stop(self) -> list[float]:
        """Milliseconds from each commit's return to the word that it is visible."""
        self._stopped.set()
        self.join()
        return self.waited_ms


def log_position(connection: "psycopg.Connection[tuple[Any, ...]]") -> str:
    """Where the log is now."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    if row is None:
        raise psycopg.OperationalError("no LSN came back")
    return str(row[0])


@contextmanager
def site(options: Options) -> Iterator[tuple[Updates, Way, Instance]]:
    """A database with the documents, its connector, and an instance that has copied them."""
    with (
        way(addresses(remembered_stack(options.folder))) as own,
        tempfile.TemporaryDirectory(prefix="rtrag-benchmark-") as folder,
    ):
        updates = Updates(own.postgres_url, options.documents)
        try:
            filled = updates.fill()
            own.connect(options.connector)
            settings = {**own.environment, "RTRAG_SOURCE__WORKERS": str(options.workers)}
            with running(Path(folder), settings) as instance:
                first_copy_rate(instance, filled)
                yield updates, own, instance
        finally:
            updates.close()


def run(options: Options) -> dict[str, Any]:
    """Measure once."""
    with site(options) as (updates, _, instance), Client(instance.url) as client:
        drive(updates, options, options.warm_up, "warming up")
        asker = Asker(instance)
        asker.start()
        before, began = cpu_seconds(options.folder, instance), time.perf_counter()
        load = drive(updates, options, options.seconds, "updates")
        elapsed = time.perf_counter() - began
        after = cpu_seconds(options.folder, instance)
        _, status = client.get(f"/api/pipeline/status?seconds={elapsed}")
        asked = asker.stop()
        with psycopg.connect(instance.postgres_url) as connection:
            wait_visible(client, log_position(connection))
        return {
            "rate": round(load.updates / elapsed, 1),
            "updates": load.updates,
            "stages_ms": {
                stage: {name: times[name] for name in ("p50", "p99")} for stage, times in status["stages"].items()
            },
            "visible_ms": {name: status["stages"]["total"][name] for name in ("p50", "p95", "p99", "max")},
            "measured": status["stages"]["total"]["count"],
            "asked_ms": percentiles(asked),
            "latest_ms": round(load.latest_ms, 1),
            "cpu": {name: round((after[name] - before[name]) / elapsed, 2) for name in after},
            "workers": options.workers,
            "verify_differences": len(instance.verify(client)),
        }


def cpu_seconds(folder: Path, instance: Instance) -> Mapping[str, float]:
    """Processor seconds so far of each part of the stack and of the service."""
    found = remembered_stack(folder)
    used = {"service": sum(_cpu(each) for each in instance.processes())}
    for name in PARTS:
        running_part = process.find(found.record(name))
        family = [] if running_part is None else [running_part, *running_part.children(recursive=True)]
        used[name] = sum(_cpu(each) for each in family)
    return used


def _cpu(of: psutil.Process) -> float:
    try:
        times = of.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", type=Path, default=DEFAULT_FOLDER, help="folder of a running stack")
    parser.add_argument("--docs", type=int, default=2_000, help="documents")
    parser.add_argument("--rate", type=float, default=200.0, help="updates a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure")
    parser.add_argument("--warm-up", type=float, default=30.0, help="seconds before that")
    parser.add_argument("--workers", type=int, default=1, help="members of the consumer group in the service")
    parser.add_argument(
        "--connector", action="append", default=[], metavar="KEY=VALUE", help="a setting of the connector, repeatable"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args(arguments)
    options = Options(
        folder=given.stack,
        documents=given.docs,
        rate=given.rate,
        seconds=given.seconds,
        warm_up=given.warm_up,
        workers=given.workers,
        connector=dict(each.split("=", 1) for each in given.connector),
        as_json=given.json,
    )
    emit("through Debezium and Kafka", run(options), as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

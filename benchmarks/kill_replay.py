"""Replays an edit stream while ``kill -9`` hits the process at random moments, in a share of them PostgreSQL as well.

    python -m benchmarks.kill_replay --data DIR --stream NAME --kills 200 [--json]

The commits are spread evenly over the kills; some kills hit the first copy and some a start that is not complete.
At the end nothing may differ: ``verify`` compares table and index, and the index is compared point by point with one
that a second, fresh instance builds from the same rows. A reader asks throughout, as in ``edit_stream``.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Condition, Thread
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.asking import Reader, wait_visible
from benchmarks.client import Client
from benchmarks.history import History
from benchmarks.index_comparison import differences, read_contents
from benchmarks.instance import (
    Instance,
    InstanceFailedError,
    first_copy_rate,
    free_port,
    kill,
    launch,
    prepare_database,
    running,
    spawn,
)
from benchmarks.report import Advance, emit, note, percentiles, progress
from benchmarks.streams import Event, Stream, commits
from benchmarks.writer import Writer

TABLE = "public.documents"
DIMENSIONS = 256
POSTGRES_SHARE = 0.3
EARLY_SHARE = 0.25
LONGEST_LIFE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to replay and how often to kill. ``seed`` decides the moments as far as the machine lets it."""

    stream: Stream
    kills: int
    events: int | None = None
    seed: int = 1
    as_json: bool = True


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was done to the instance."""

    kills: int = 0
    kills_with_postgres: int = 0
    kills_at_start: int = 0
    restart_ms: list[float] = field(default_factory=list)


class PacedWriter(Thread):
    """Replays the commits, so many for each allowance, through whatever happens to PostgreSQL."""

    def __init__(self, writer: Writer, batches: Sequence[Sequence[Event]]) -> None:
        super().__init__(name="writer", daemon=True)
        self.events = 0
        self.failure: str | None = None
        self._writer = writer
        self._batches = batches
        self._allowed = 0
        self._changed = Condition()

    def allow(self, commits_in_all: int) -> None:
        """Go on until so many commits are done."""
        with self._changed:
            self._allowed = commits_in_all
            self._changed.notify()

    def run(self) -> None:
        try:
            for number, batch in enumerate(self._batches):
                with self._changed:
                    while self._allowed <= number:
                        self._changed.wait()
                self._writer.commit_through_kills(batch)
                self.events += len(batch)
        except (psycopg.Error, ValueError) as exc:
            self.failure = f"the writer failed: {exc!r}"


class Killer:
    """Starts the instance, lets it live for a while, kills it, again and again."""

    def __init__(self, options: Options, folder: Path, history: History) -> None:
        self.counts = Counts()
        self._random = Random(options.seed)
        self._folder = folder
        self._history = history
        self.port = free_port()

    def cycle(self, instance: Instance, most: int, *, copied: bool) -> Instance:
        """The end of one life, perhaps some deaths at birth, and the next life; ``most`` kills in all."""
        if copied:
            self._live(instance)
        else:
            time.sleep(self._random.uniform(0, 0.8))
        self._kill(instance.process)
        while self.counts.kills < most and self._random.random() < EARLY_SHARE:
            process = spawn(self._folder, port=self.port)
            time.sleep(self._random.uniform(0, 1.2))
            self._kill(process)
            self.counts.kills_at_start += 1
        return launch(self._folder, port=self.port)

    def _live(self, instance: Instance) -> None:
        with Client(instance.url) as client:
            self.counts.restart_ms.append(instance.wait_ready(client) * 1000)
        time.sleep(self._random.uniform(0, LONGEST_LIFE))

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        postgres = self._random.random() < POSTGRES_SHARE
        kill(process, self._folder, postgres=postgres)
        self._history.forget_visible()
        self.counts.kills += 1
        self.counts.kills_with_postgres += postgres


def run(options: Options) -> dict[str, Any]:
    """Replay and kill in a temporary folder, then compare."""
    with tempfile.TemporaryDirectory(prefix="rtrag-benchmark-") as parent:
        folder, rebuilt = Path(parent) / "killed", Path(parent) / "rebuilt"
        folder.mkdir()
        rebuilt.mkdir()
        history = History()
        prepare_database(folder, lambda url: _fill(url, history, options.stream.start))
        result = _replay_and_kill(options, folder, rebuilt, history)
        found = asyncio.run(_compare(folder, rebuilt))
    for difference in found[:20]:
        note(f"differs from the rebuilt index: {difference}")
    return result | {"rebuilt_differences": len(found)}


def _replay_and_kill(options: Options, folder: Path, rebuilt: Path, history: History) -> dict[str, Any]:
    batches = list(commits(options.stream.events(), options.events))
    killer = Killer(options, folder, history)
    instance = launch(folder, port=killer.port)
    writer = Writer(instance.postgres_url, history)
    replay = PacedWriter(writer, batches)
    reader = Reader(instance.url, history, per_second=20.0, through_kills=True)
    try:
        with progress("killing", options.kills, shown=not options.as_json) as advance:
            replay.start()
            reader.start()
            instance = _kill_all(killer, instance, replay, len(batches), options.kills, advance)
        _finish(instance, replay, writer)
        reader.stop()
        with Client(instance.url) as client:
            verified = instance.verify(client)
            dead_letters = instance.status(client)["dead_letters"]
        _rebuild(instance.postgres_url, rebuilt)
    finally:
        writer.close()
        instance.stop()
    for problem in (*reader.tally.examples, *verified):
        note(f"violation: {problem}")
    return _result(killer.counts, replay.events, reader) | {
        "dead_letters": dead_letters,
        "verify_differences": len(verified),
    }


def _kill_all(
    killer: Killer, instance: Instance, replay: PacedWriter, commits_in_all: int, kills: int, advance: Advance
) -> Instance:
    """The first few hit the first copy."""
    while (done := killer.counts.kills) < kills:
        replay.allow(commits_in_all * (done + 1) // kills)
        instance = killer.cycle(instance, kills, copied=done >= min(3, kills // 3))
        if replay.failure:
            raise InstanceFailedError(replay.failure)
        advance(killer.counts.kills - done)
    replay.allow(commits_in_all)
    return instance


def _finish(instance: Instance, replay: PacedWriter, writer: Writer) -> None:
    """Let the writer end, and the index catch up with it."""
    with Client(instance.url) as client:
        instance.wait_ready(client)
        replay.join()
        if replay.failure:
            raise InstanceFailedError(replay.failure)
        writer.reconnect()  # the last kills may have hit PostgreSQL after the writer's last commit
        wait_visible(client, writer.token())


def _fill(postgres_url: str, history: History, documents: Callable[[], Any]) -> int:
    writer = Writer(postgres_url, history)
    try:
        return writer.copy(documents())
    finally:
        writer.close()


def _rebuild(postgres_url: str, folder: Path) -> None:
    """A second instance that copies the same rows, versions included, and nothing else."""
    columns = "id, title, content, metadata, version"
    with psycopg.connect(postgres_url) as connection, connection.cursor() as cursor:
        rows = cursor.execute(f"SELECT id, title, content, metadata::text, version FROM {TABLE}").fetchall()

    def fill(url: str) -> int:
        with (
            psycopg.connect(url) as target,
            target.cursor() as cursor,
            cursor.copy(f"COPY {TABLE} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return len(rows)

    prepare_database(folder, fill)
    with running(folder) as instance:
        first_copy_rate(instance, len(rows))


async def _compare(folder: Path, rebuilt: Path) -> list[str]:
    left = await read_contents(folder, table=TABLE, dimensions=DIMENSIONS)
    right = await read_contents(rebuilt, table=TABLE, dimensions=DIMENSIONS)
    return differences(left, right)


def _result(counts: Counts, events: int, reader: Reader) -> dict[str, Any]:
    return {
        "kills": counts.kills,
        "kills_with_postgres": counts.kills_with_postgres,
        "kills_at_start": counts.kills_at_start,
        "events": events,
        "restart_ms": percentiles(counts.restart_ms, ranks=(50, 95, 99), worst=True),
        "reads": reader.tally.reads,
        "stale": reader.tally.counts["stale"],
        "torn": reader.tally.counts["torn"],
        "missing": reader.tally.counts["missing"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing was lost, stale, torn, missing or different, else 1."""
    parser = argparse.ArgumentParser(description="Kill the system at random moments while an edit stream is replayed.")
    parser.add_argument("--data", type=Path, required=True, help="folder of streams, see benchmarks/README.md")
    parser.add_argument("--stream", required=True, help="name of a stream in it")
    parser.add_argument("--kills", type=int, default=200, help="how often")
    parser.add_argument("--events", type=int, help="replay only so many events")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args(arguments)
    stream = Stream(folder=given.data, name=given.stream)
    result = run(Options(stream=stream, kills=given.kills, events=given.events, seed=given.seed, as_json=given.json))
    emit(f"{given.kills} kills during {given.stream}", result, as_json=given.json)
    wrong = ("stale", "torn", "missing", "dead_letters", "verify_differences", "rebuilt_differences")
    return int(any(result[name] for name in wrong))


if __name__ == "__main__":
    sys.exit(main())

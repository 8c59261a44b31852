"""Replays an edit stream through SQL and holds every answer against the history of versions.

    python -m benchmarks.edit_stream --data DIR --stream NAME [--events N] [--rate R] [--json]

A fresh instance copies the start documents, then each commit of the stream is one transaction. After it: wait for its
token (``lag_ms``: from the commit's return to the response of ``GET /api/freshness``), then ask for what it brought
and what it took away, and the questions whose answers it changed. A reader asks beside it all the while, without
tokens.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.asking import CheckedQueries, Reader, UnexpectedStatusError, wait_visible
from benchmarks.client import Client
from benchmarks.facts import FactCheck, FactSchedule, checks_at_start
from benchmarks.history import History, Tally
from benchmarks.instance import Instance, first_copy_rate, prepare_database, running
from benchmarks.report import emit, note, percentiles, progress
from benchmarks.stack import Stack, addresses, remembered_stack, way
from benchmarks.streams import Event, Probe, Stream, commits
from benchmarks.writer import Commit, Writer

from rtrag.entrypoints.stack.layout import DEFAULT_FOLDER

KEYS = (
    "events",
    "updates",
    "lag_ms",
    "embedded_chars",
    "bound_chars",
    "embedded_over_bound",
    "mean_chunk_chars",
    "probes",
    "facts",
    "facts_right",
    "stale",
    "torn",
    "missing",
    "reads",
    "first_copy_docs_per_s",
    "verify_differences",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to replay, and how."""

    stream: Stream
    events: int | None
    rate: float | None
    reads_per_second: float
    as_json: bool
    stack: Stack | None = None


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a replay did."""

    events: int = 0
    updates: int = 0
    probes: int = 0
    facts: int = 0
    facts_right: int = 0
    lag_ms: list[float] = field(default_factory=list)


class Replay:
    """One pass over a stream: write, wait, ask."""

    def __init__(self, options: Options, writer: Writer, queries: CheckedQueries, reader: Reader) -> None:
        self.counts = Counts()
        self._options = options
        self._writer = writer
        self._queries = queries
        self._reader = reader
        self._probes = options.stream.probes()
        self._facts = options.stream.facts()
        self._schedule = FactSchedule(self._facts)
        self._until: dict[int, list[str]] = {}

    def ask_at_start(self) -> None:
        """The questions whose answers the start documents already hold."""
        for check in checks_at_start(self._facts):
            self._ask_fact(check, None)

    def run(self) -> None:
        """Replay all commits."""
        options = self._options
        total = min(options.events or sys.maxsize, options.stream.count_events())
        began = time.perf_counter()
        with progress(f"replaying {options.stream.name}", total, shown=not options.as_json) as advance:
            for events in commits(options.stream.events(), options.events):
                if options.rate:
                    time.sleep(max(0.0, began + self.counts.events / options.rate - time.perf_counter()))
                self._replay(events)
                advance(len(events))
                if self._reader.failure:
                    raise UnexpectedStatusError(self._reader.failure)

    def _replay(self, events: Sequence[Event]) -> None:
        for event in events:
            for sentence in self._until.pop(event.seq, ()):
                self._reader.present.remove(sentence)
        commit = self._writer.apply(events)
        for token in commit.documents if self._options.stack else (commit.token,):
            wait_visible(self._queries.client, token)
        self.counts.lag_ms.append((time.perf_counter() - commit.returned) * 1000)
        self._queries.history.confirm_visible(commit.number)
        # Through Kafka a token for all tables takes a second; the documents' own have been waited for.
        carried = None if self._options.stack else commit
        self.counts.events += len(events)
        self.counts.updates += sum(event.operation == "update" for event in events)
        for event in events:
            if event.seq in self._probes:
                self._ask_probes(self._probes[event.seq], carried, events[-1].seq)
        for check in self._schedule.after(events):
            self._ask_fact(check, carried)

    def _ask_probes(self, probe: Probe, commit: Commit | None, last_seq: int) -> None:
        """What an event brought must be there, unless its own transaction took it away again; what it took must not."""
        for sentence in probe.vanishes:
            self._reader.present.remove(sentence)
            self._reader.gone.add(sentence)
            self._queries.ask(sentence, commit)
            self.counts.probes += 1
        for appearance in probe.appears:
            if appearance.until is not None and appearance.until <= last_seq:
                continue
            self._queries.ask(appearance.text, commit, expected=appearance.text)
            self.counts.probes += 1
            self._reader.gone.remove(appearance.text)
            self._reader.present.add(appearance.text)
            if appearance.until is not None:
                self._until.setdefault(appearance.until, []).append(appearance.text)

    def _ask_fact(self, check: FactCheck, commit: Commit | None) -> None:
        shown = self._queries.ask(check.question, commit)
        self.counts.facts += 1
        if check.holds(shown):
            self.counts.facts_right += 1
        elif self.counts.facts - self.counts.facts_right <= 10:
            note(
                f"fact not right: {check.question} expected {check.value!r} (before: {check.previous!r}) in {check.id}"
            )


def run(options: Options) -> dict[str, Any]:
    """Replay a stream on a fresh instance in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="rtrag-benchmark-") as folder:
        history = History()
        if options.stack is not None:
            with way(options.stack) as own:
                prepared = _copy_start(own.postgres_url, history, options.stream)
                own.connect()
                with running(Path(folder), own.environment) as instance:
                    copied = first_copy_rate(instance, prepared)
                    history.confirm_visible(0)
                    return _measure(options, instance, history, copied)
        prepared = prepare_database(Path(folder), lambda url: _copy_start(url, history, options.stream))
        with running(Path(folder)) as instance:
            copied = first_copy_rate(instance, prepared)
            history.confirm_visible(0)
            return _measure(options, instance, history, copied)


def _copy_start(postgres_url: str, history: History, stream: Stream) -> int:
    writer = Writer(postgres_url, history)
    try:
        return writer.copy(stream.start())
    finally:
        writer.close()


def _measure(options: Options, instance: Instance, history: History, copied: float) -> dict[str, Any]:
    writer = Writer(instance.postgres_url, history)
    reader = Reader(instance.url, history, per_second=options.reads_per_second)
    with Client(instance.url) as client:
        queries = CheckedQueries(client=client, history=history, tally=Tally())
        replay = Replay(options, writer, queries, reader)
        replay.ask_at_start()
        before = instance.status(client)["totals"]
        reader.start()
        try:
            replay.run()
        finally:
            reader.stop()
            writer.close()
        after = instance.status(client)
        verified = instance.verify(client)
    queries.tally.merge(reader.tally)
    embedded = after["totals"]["embedded_characters_updates"] - before["embedded_characters_updates"]
    characters = sum(len(stint.content) for stint in history.current())
    for violation in (*queries.tally.examples, *verified):
        note(f"violation: {violation}")
    return _result(replay.counts, queries.tally) | {
        "embedded_chars": embedded,
        "mean_chunk_chars": round(characters / max(1, after["counts"]["chunks"]), 1),
        "first_copy_docs_per_s": round(copied, 1),
        "verify_differences": len(verified),
    }


def _result(counts: Counts, tally: Tally) -> dict[str, Any]:
    return {
        "events": counts.events,
        "updates": counts.updates,
        "lag_ms": percentiles(counts.lag_ms, ranks=(50, 95, 99), worst=True),
        "probes": counts.probes,
        "facts": counts.facts,
        "facts_right": counts.facts_right,
        "stale": tally.counts["stale"],
        "torn": tally.counts["torn"],
        "missing": tally.counts["missing"],
        "reads": tally.reads,
    }


def finish(result: dict[str, Any], stream: Stream) -> dict[str, Any]:
    """Add the lower bound for the updates replayed (exact for a whole stream); null where the stream has none."""
    reuse = stream.reuse()
    bound = reuse.chars_per_update * result["updates"] if reuse is not None else None
    ratio = round(result["embedded_chars"] / bound, 3) if bound else None
    complete = result | {"bound_chars": round(bound) if bound else None, "embedded_over_bound": ratio}
    return {name: complete[name] for name in KEYS}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing was stale, torn, missing or different and every fact right, else 1."""
    parser = argparse.ArgumentParser(description="Replay an edit stream and check every answer.")
    parser.add_argument("--data", type=Path, required=True, help="folder of streams, see benchmarks/README.md")
    parser.add_argument("--stream", required=True, help="name of a stream in it")
    parser.add_argument("--events", type=int, help="replay only so many events")
    parser.add_argument("--rate", type=float, help="events a second; as fast as they are visible if left out")
    parser.add_argument("--reads", type=float, default=20.0, help="queries a second of the reader beside it")
    parser.add_argument(
        "--stack",
        type=Path,
        nargs="?",
        const=DEFAULT_FOLDER,
        help="through Debezium and Kafka: folder of a running stack",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args(arguments)
    stream = Stream(folder=given.data, name=given.stream)
    options = Options(
        stream=stream,
        events=given.events,
        rate=given.rate,
        reads_per_second=given.reads,
        as_json=given.json,
        stack=None if given.stack is None else addresses(remembered_stack(given.stack)),
    )
    result = finish(run(options), stream)
    emit(f"edit stream {given.stream}", result, as_json=given.json)
    wrong = ("stale", "torn", "missing", "verify_differences")
    return int(any(result[name] for name in wrong) or result["facts_right"] < result["facts"])


if __name__ == "__main__":
    sys.exit(main())

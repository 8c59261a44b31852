"""How long from a commit in PostgreSQL to its answer, on documents of 80 words.

    python -m benchmarks.latency --docs 20000 [--rate 200] [--json]

One edit at a time over SQL: ``answerable_ms`` from the commit's return to the response of one query with its token,
``visible_ms`` to the response of ``GET /api/freshness``, ``query_ms`` a query without either; then queries beside
edits at a steady rate (``query_under_load_ms``). ``growth_from_2000`` compares commit to visible with an instance of
2,000 documents that runs beside it, edits alternating between the two. All over HTTP on kept-alive connections.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from threading import Event, Thread
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.asking import UnexpectedStatusError, wait_visible
from benchmarks.client import Client
from benchmarks.instance import Instance, first_copy_rate, prepare_database, running
from benchmarks.report import Advance, emit, note, percentiles, progress
from benchmarks.words import Vocabulary

SMALL = 2_000
GROWTH_EDITS = 300
LOAD_SECONDS = 30.0
LOAD_QUERIES_PER_SECOND = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure, and on how many documents."""

    documents: int
    edits: int
    rate: float
    as_json: bool


class Site:
    """An instance with its documents, a connection to write and one to ask."""

    def __init__(self, instance: Instance, documents: int, *, seed: int) -> None:
        self.instance = instance
        self.client = Client(instance.url)
        self.words = Vocabulary(seed=seed)
        self._documents = documents
        self._random = Random(seed)
        self._connection = psycopg.connect(instance.postgres_url, autocommit=True)

    def close(self) -> None:
        self.client.close()
        self._connection.close()

    def edit(self) -> tuple[str, str, float]:
        """Commit a new text for one document: its marker word, the token, and when the commit's return was here."""
        marker = self.words.marker()
        content = self.words.text(marker)
        self._connection.execute("BEGIN")
        statement = "UPDATE public.documents SET content = %s WHERE id = %s"
        self._connection.execute(statement, (content, f"doc-{self._random.randrange(self._documents)}"))
        cursor = self._connection.execute("COMMIT; SELECT pg_current_wal_insert_lsn()::text")
        returned = time.perf_counter()
        cursor.nextset()
        row = cursor.fetchone()
        if row is None:
            raise psycopg.OperationalError("no LSN came back with the commit")
        return marker, str(row[0]), returned

    def answerable(self) -> float:
        """Milliseconds from a commit's return to the answer that shows it."""
        marker, token, returned = self.edit()
        answer = query(self.client, f"What about {marker}?", token)
        elapsed = (time.perf_counter() - returned) * 1000
        if not any(marker in source["text"] for source in answer["sources"]):
            raise UnexpectedStatusError(f"{marker} was committed at {token}, and the answer with that token lacks it")
        return elapsed

    def visible(self) -> float:
        """Milliseconds from a commit's return to the word that it is visible."""
        _, token, returned = self.edit()
        wait_visible(self.client, token)
        return (time.perf_counter() - returned) * 1000

    def query(self) -> float:
        """Milliseconds of a query."""
        text = " ".join(self.words.draw(5))
        began = time.perf_counter()
        query(self.client, text)
        return (time.perf_counter() - began) * 1000


def query(client: Client, text: str, token: str | None = None) -> dict[str, Any]:
    """An answer with the page size that people get. Raises UnexpectedStatusError."""
    body = {"query": text} if token is None else {"query": text, "min_position": token}
    status, answer = client.post("/query", body)
    if status != 200:
        raise UnexpectedStatusError(f"POST /query answered {status}: {answer}")
    return dict(answer)


@contextmanager
def site(documents: int) -> Iterator[tuple[Site, float]]:
    """A fresh instance with so many documents, and its first copy in documents a second."""
    with tempfile.TemporaryDirectory(prefix="rtrag-benchmark-") as folder:
        prepare_database(Path(folder), lambda url: _fill(url, documents))
        with running(Path(folder)) as instance:
            copied = first_copy_rate(instance, documents)
            opened = Site(instance, documents, seed=documents)
            try:
                yield opened, copied
            finally:
                opened.close()


def _fill(postgres_url: str, documents: int) -> int:
    words = Vocabulary(seed=0)
    with (
        psycopg.connect(postgres_url) as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY public.documents (id, title, content) FROM STDIN") as copy,
    ):
        for number in range(documents):
            copy.write_row((f"doc-{number}", " ".join(words.draw(4)), words.text(words.marker())))
    return documents


def run(options: Options) -> dict[str, Any]:
    """Measure everything once."""
    samples: dict[str, list[float]] = {name: [] for name in ("answerable", "visible", "query", "large", "small")}
    steps = options.edits + GROWTH_EDITS
    with ExitStack() as stack, progress("editing", steps, shown=not options.as_json) as advance:
        large, copied = stack.enter_context(site(options.documents))
        with site(SMALL) as (small, _):
            _alternate(large, small, samples, advance)
        note(f"client and server without any work: {_overhead(large.client)} ms a request")
        _one_at_a_time(large, options.edits, samples, advance)
        loaded = _under_load(large, options.rate)
        pss = large.instance.pss_mb()
    growth = round(median(samples["large"]) / median(samples["small"]), 3)
    return {
        "answerable_ms": percentiles(samples["answerable"]),
        "visible_ms": percentiles(samples["visible"]),
        "query_ms": percentiles(samples["query"]),
        "query_under_load_ms": percentiles(loaded),
        "first_copy_docs_per_s": round(copied, 1),
        "growth_from_2000": growth,
        "pss_mb": pss,
    }


def _alternate(large: Site, small: Site, samples: dict[str, list[float]], advance: Advance) -> None:
    """Edit both in turn, so that whatever else the machine does falls on both."""
    for place in (large, small):
        _repeat(place.visible, 20)
    for _ in range(GROWTH_EDITS):
        samples["large"].append(large.visible())
        samples["small"].append(small.visible())
        advance(1)


def _one_at_a_time(place: Site, edits: int, samples: dict[str, list[float]], advance: Advance) -> None:
    for measure in (place.answerable, place.visible, place.query):
        _repeat(measure, 20)
    for _ in range(edits):
        samples["answerable"].append(place.answerable())
        samples["visible"].append(place.visible())
        samples["query"].append(place.query())
        advance(1)


def _repeat(measure: Callable[[], float], times: int) -> list[float]:
    return [measure() for _ in range(times)]


def _overhead(client: Client) -> dict[str, float]:
    """What a request costs that does nothing: the least that any figure here contains."""
    samples = []
    for _ in range(200):
        began = time.perf_counter()
        client.get("/collections")
        samples.append((time.perf_counter() - began) * 1000)
    return percentiles(samples)


def _under_load(place: Site, rate: float) -> list[float]:
    """Queries at a steady pace beside edits at a steady rate (both open loop: a late one does not slow the next)."""
    ended, written = Event(), [0]

    def write() -> None:
        began = time.perf_counter()
        while not ended.is_set():
            place.edit()
            written[0] += 1
            time.sleep(max(0.0, began + written[0] / rate - time.perf_counter()))

    writer = Thread(target=write, name="writer", daemon=True)
    began = time.perf_counter()
    writer.start()
    samples: list[float] = []
    while (due := began + len(samples) / LOAD_QUERIES_PER_SECOND) < began + LOAD_SECONDS:
        time.sleep(max(0.0, due - time.perf_counter()))
        place.query()
        samples.append((time.perf_counter() - due) * 1000)
    ended.set()
    writer.join()
    note(f"under load: {written[0] / (time.perf_counter() - began):.0f} edits a second, {len(samples)} queries")
    _, token, returned = place.edit()
    wait_visible(place.client, token)
    note(f"after the load the next edit was visible in {(time.perf_counter() - returned) * 1000:.1f} ms")
    return samples


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure commit to answer on documents of 80 words.")
    parser.add_argument("--docs", type=int, default=20_000, help="how many documents")
    parser.add_argument("--edits", type=int, default=500, help="edits of each kind, one at a time")
    parser.add_argument("--rate", type=float, default=200.0, help="edits a second under load")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args(arguments)
    options = Options(documents=given.docs, edits=given.edits, rate=given.rate, as_json=given.json)
    emit(f"latency on {given.docs} documents", run(options), as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

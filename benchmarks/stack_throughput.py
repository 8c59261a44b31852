"""How many changes a second each stage of the stack takes, one after the other.

    make stack && python -m benchmarks.stack_throughput [--docs 20000] [--workers 1 2 4] [--json]

``written``: rows updated in PostgreSQL, a transaction each, by one client. ``captured``: Debezium's snapshot into
Kafka. ``decoded``: records read from Kafka and decoded by one member of a group, and nothing else. ``indexed``: the
same records by an instance with so many members of its group, until all are visible, by number of members. All on the
machine that this runs on; documents of 80 words.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.client import Client
from benchmarks.instance import START_SECONDS, running
from benchmarks.report import emit, note
from benchmarks.stack import QDRANT_URL, Way, addresses, remembered_stack, way
from benchmarks.words import Vocabulary

from rtrag.adapters.kafka.consumer import ConsumerSettings, GroupConsumer
from rtrag.adapters.kafka.envelope import EnvelopeDecoder, Table
from rtrag.adapters.kafka.topics import TopicEnds
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.domain.mapping import TableMapping
from rtrag.entrypoints.stack.layout import DEFAULT_FOLDER
from rtrag.ports.changes import BatchLimits

TABLE = "public.documents"
UPDATED = 2_000
MAPPING = TableMapping(
    table=TABLE, key_columns=("id",), title="title", content="content", metadata=("metadata",), version="version"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure, and on how many documents."""

    folder: Path
    documents: int
    workers: tuple[int, ...]


def run(options: Options) -> dict[str, Any]:
    """Measure each stage once."""
    with way(addresses(remembered_stack(options.folder))) as own:
        written = _fill_and_update(own.postgres_url, options.documents)
        note("Debezium copies the table ...")
        captured = _captured(own, options.documents)
        decoded = asyncio.run(_decoded(own, options.documents))
        indexed = {}
        for workers in options.workers:
            note(f"{workers} members of the group ...")
            indexed[str(workers)] = _indexed(own, options.documents, workers)
    return {
        "documents": options.documents,
        "written_per_s": written,
        "captured_per_s": captured,
        "decoded_per_s": decoded,
        "indexed_per_s": indexed,
    }


def _fill_and_update(url: str, documents: int) -> float:
    words = Vocabulary(seed=0)
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy(f"COPY {TABLE} (id, title, content) FROM STDIN") as copy:
            for number in range(documents):
                copy.write_row((f"doc-{number}", " ".join(words.draw(4)), words.text(words.marker())))
        began = time.perf_counter()
        for number in range(UPDATED):
            statement = f"UPDATE {TABLE} SET content = content || '.' WHERE id = %s"
            connection.execute(statement.encode(), (f"doc-{number}",))
        return round(UPDATED / (time.perf_counter() - began))


def _captured(own: Way, documents: int) -> float:
    """From the first record in the topic to the last."""
    own.connect()
    ends = TopicEnds(own.stack.bootstrap_servers, {})
    first: tuple[float, int] | None = None
    deadline = time.perf_counter() + START_SECONDS
    while time.perf_counter() < deadline:
        count = _records(ends, f"{own.prefix}.{TABLE}")
        now = time.perf_counter()
        if count >= documents:
            begun, before = first or (now - 1.0, 0)
            return round((count - before) / (now - begun))
        if first is None and count:
            first = (now, count)
        time.sleep(0.05)
    raise TimeoutError(f"Debezium has not copied {documents} rows in {START_SECONDS:.0f} s")


def _records(ends: TopicEnds, topic: str) -> int:
    """How many are in the topic; 0 while it is being made."""
    try:
        found = asyncio.run(ends.of((topic,)))
    except ServiceUnavailableError:
        return 0
    return sum(end for _, end in found.values())


async def _decoded(own: Way, documents: int) -> float:
    settings = ConsumerSettings(
        bootstrap_servers=own.stack.bootstrap_servers,
        group=f"{own.name}-decode",
        topics=(f"{own.prefix}.{TABLE}",),
        options={},
    )
    decoder = EnvelopeDecoder(own.prefix, [Table(mapping=MAPPING, converters={})])
    consumer = GroupConsumer(settings, lambda _: {})
    consumer.start()
    count, began = 0, 0.0
    try:
        while count < documents:
            await consumer.wait()
            began = began or time.perf_counter()
            while records := consumer.take(BatchLimits()):
                count += len([decoder.decode(record) for record in records])
    finally:
        await consumer.close()
    return round(count / (time.perf_counter() - began))


def _indexed(own: Way, documents: int, workers: int) -> float:
    """From the first indexed document to the last, in a new index and a new group."""
    settings = {
        **own.environment,
        "RTRAG_SOURCE__WORKERS": str(workers),
        "RTRAG_SOURCE__GROUP": f"{own.name}-{workers}",
        **({"RTRAG_INDEX__COLLECTION": f"{own.name}-{workers}"} if QDRANT_URL else {}),
    }
    with tempfile.TemporaryDirectory(prefix="rtrag-benchmark-") as folder, running(Path(folder), settings) as instance:
        first: tuple[float, int] | None = None
        deadline = time.perf_counter() + START_SECONDS
        with Client(instance.url) as client:
            while time.perf_counter() < deadline:
                status = instance.status(client)
                now, count = time.perf_counter(), int(status["totals"]["documents"])
                if count >= documents:
                    begun, before = first or (instance.started, 0)
                    return round((count - before) / (now - begun))
                if first is None and count:
                    first = (now, count)
                time.sleep(0.05)
    raise TimeoutError(f"{documents} documents were not indexed in {START_SECONDS:.0f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", type=Path, default=DEFAULT_FOLDER, help="folder of a running stack")
    parser.add_argument("--docs", type=int, default=20_000, help="documents")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="members of the group, one run each")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args(arguments)
    options = Options(folder=given.stack, documents=given.docs, workers=tuple(given.workers))
    emit("changes a second", run(options), as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

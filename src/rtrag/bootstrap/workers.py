"""The workers of a process: each has a capture of its own, and all write one index."""

from dataclasses import dataclass, replace
from functools import partial

from rtrag.application.copying import Copier
from rtrag.application.engine import Engine, Parts
from rtrag.application.indexer import Indexer
from rtrag.application.ingest import Ingest
from rtrag.application.refresh import Refresh
from rtrag.bootstrap.captures import open_capture
from rtrag.bootstrap.core import SOURCE, Core
from rtrag.config import KafkaSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One engine with what it drives."""

    engine: Engine
    parts: Parts


def workers(core: Core) -> tuple[Worker, ...]:
    """As many as the source is configured for; the first one also compacts, verifies and replays."""
    source = core.settings.source
    number = source.workers if isinstance(source, KafkaSource) else 1
    return tuple(_worker(core, place) for place in range(number))


def _worker(core: Core, place: int) -> Worker:
    first = place == 0
    problems = core.monitor.problems if first else core.monitor.problems.of(f"worker {place + 1}")
    monitor = replace(core.monitor, problems=problems)
    ingest = Ingest(
        index=core.index,
        indexer=Indexer(
            index=core.index,
            vectors=core.vectors,
            composer=core.composer,
            dead_letters=core.letters,
            totals=monitor.totals,
        ),
        letters=core.letters,
        freshness=core.freshness,
        clean_up=core.clean_up,
        monitor=monitor,
    )
    page = core.settings.source.copy_page
    parts = Parts(
        index=core.index,
        ingest=ingest,
        freshness=core.freshness,
        gate=core.gate,
        refresh=Refresh(core.freshness, ingest),
        clean_up=core.clean_up,
        copier=Copier(core.index, ingest, core.freshness, monitor.totals, page),
        monitor=monitor,
        open_capture=partial(open_capture, core),
        source_name=SOURCE,
        tables=core.tables,
        compact=core.opened.compact if first else None,
        withdrawn=core.opened.withdrawn if first else (),
        shared=core.opened.shared,
    )
    return Worker(engine=Engine(parts), parts=parts)

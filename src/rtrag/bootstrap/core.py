"""What the write path and the read path share, opened in order."""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rtrag.adapters.postgres.embedded import open_embedded_postgres
from rtrag.application.clean_up import CleanUp
from rtrag.application.embedding_memo import EmbeddingMemo
from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.ingest import IngestSettings, Monitor
from rtrag.application.problems import Problems
from rtrag.application.retry import RetryPolicy
from rtrag.application.services import Collection
from rtrag.application.totals import Totals
from rtrag.application.vectors import VectorSupply
from rtrag.bootstrap.models import open_embedder, open_generator
from rtrag.bootstrap.stores import Caches, OpenIndex, letters_opening, open_caches, open_index
from rtrag.config import Settings
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.chunking import CHUNKER_VERSION, detect_format, header_fields, split
from rtrag.domain.composition import Chunker, Composer
from rtrag.domain.errors import ConfigurationError
from rtrag.ports.changes import BatchLimits
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.embedding import Embedder
from rtrag.ports.generation import Generator
from rtrag.ports.index import Index

SOURCE = "postgres"
IDLE_CONFIRM_SECONDS = 10.0
SHARED_CONFIRM_SECONDS = 1.0
_problems = logging.getLogger("rtrag.problems")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What the write path and the read path share."""

    settings: Settings
    collections: Mapping[str, Collection]
    postgres_url: str
    opened: OpenIndex
    letters: DeadLetters
    caches: Caches
    embedder: Embedder
    generator: Generator
    composer: Composer
    vectors: VectorSupply
    freshness: Freshness
    clean_up: CleanUp
    gate: FreshnessGate
    monitor: Monitor

    @property
    def index(self) -> Index:
        return self.opened.index

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self.composer.mappings)


async def open_core(stack: AsyncExitStack, settings: Settings, letters: DeadLetters | None = None) -> Core:
    """Open everything that both paths need; the stack closes it. Raises ConfigurationError.

    ``letters`` are used in place of those that are configured.
    """
    data = settings.data_folder
    _make_folder(data)
    collections = {collection.name: collection for collection in settings.mapped_collections()}
    mappings = {table.table: table for collection in collections.values() for table in collection.tables}
    embedder = await open_embedder(stack, settings)
    identity = ChunkingIdentity(
        chunker_version=CHUNKER_VERSION, model_id=embedder.model_id, dimensions=embedder.dimensions
    )
    problems = Problems(_log_problem)
    if settings.postgres_url is None:
        opening = open_embedded_postgres(data / "postgres", lambda text: _note(problems, "embedded PostgreSQL", text))
        url = (await stack.enter_async_context(opening)).url
    else:
        url = settings.postgres_url.get_secret_value()
    opened = await open_index(stack, settings, embedder.dimensions, embedder.model_id)
    index = opened.index
    if letters is None:
        letters = await stack.enter_async_context(letters_opening(settings)())
    freshness = Freshness()
    return Core(
        settings=settings,
        collections=collections,
        postgres_url=url,
        opened=opened,
        letters=letters,
        caches=await open_caches(stack, settings),
        embedder=embedder,
        generator=await open_generator(stack, settings, embedder),
        composer=Composer(
            mappings=mappings,
            chunker=Chunker(split=split, header_fields=header_fields, detect_format=detect_format, identity=identity),
            max_bytes=settings.indexing.max_document_bytes,
        ),
        vectors=VectorSupply(
            index=index,
            embedder=embedder,
            memo=EmbeddingMemo(settings.indexing.memo_entries),
            identity=identity,
        ),
        freshness=freshness,
        clean_up=CleanUp(index),
        gate=FreshnessGate(freshness=freshness, index=index, letters=letters),
        monitor=Monitor(settings=_ingest_settings(settings, shared=opened.shared), totals=Totals(), problems=problems),
    )


async def check_identity(core: Core) -> None:
    """Refuse an index that was made with another model: its vectors do not compare. Raises ConfigurationError."""
    recorded = await core.index.source(SOURCE)
    identity = core.composer.chunker.identity
    if recorded is not None and recorded.identity != identity:
        raise ConfigurationError(
            f"The index in {core.opened.place} was made with model {recorded.identity.model_id!r} "
            f"(chunking {recorded.identity.chunker_version}); now {identity.model_id!r} (chunking "
            f"{identity.chunker_version}) is configured, whose vectors do not compare.",
            fix="go back to the former setting, or delete what is there: the next start indexes all documents anew "
            "(with changes from Kafka, for a group of another name, RTRAG_SOURCE__GROUP).",
        )


def _ingest_settings(settings: Settings, *, shared: bool) -> IngestSettings:
    retry, indexing = settings.retry, settings.indexing
    return IngestSettings(
        limits=BatchLimits(events=indexing.batch_events, bytes=indexing.batch_bytes),
        flush_spacing=settings.index.flush_seconds,
        # Processes that only read a shared index learn from the confirmations how current it is.
        idle_confirm=SHARED_CONFIRM_SECONDS if shared else IDLE_CONFIRM_SECONDS,
        isolate_after=retry.attempts,
        retry=RetryPolicy(wait_initial=retry.initial_seconds, wait_max=retry.max_seconds),
    )


def _note(problems: Problems, topic: str, text: str | None) -> None:
    if text is None:
        problems.clear(topic)
    else:
        problems.set(topic, text)


def _log_problem(topic: str, text: str | None) -> None:
    level = logging.INFO if topic == "phase" else logging.WARNING  # every start has phases
    if text is None:
        _problems.log(level, "problem_gone topic=%r", topic)
    else:
        _problems.log(level, "problem topic=%r detail=%r", topic, text)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {folder} cannot be made: {error.strerror}.",
            fix="choose another with --data or RTRAG_DATA_FOLDER, or make it writable.",
        ) from error

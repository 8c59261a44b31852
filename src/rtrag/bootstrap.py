"""The composition root: the only place where everything is joined."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from rtrag.adapters.extractive_generator import ExtractiveGenerator
from rtrag.adapters.memory_cache import MemoryCache
from rtrag.adapters.postgres.capture import CaptureSettings, Recorded, open_postgres_capture
from rtrag.adapters.postgres.documents import open_document_stores
from rtrag.adapters.postgres.embedded import open_embedded_postgres
from rtrag.adapters.postgres.replication import StreamTimes
from rtrag.adapters.qdrant.edge import EdgeIndex, open_edge_index
from rtrag.adapters.sqlite_dead_letters import open_sqlite_dead_letters
from rtrag.adapters.static_embedder import StaticEmbedder
from rtrag.application.answer import AnswerService, AnswerSettings, Readers
from rtrag.application.clean_up import CleanUp
from rtrag.application.copying import Copier
from rtrag.application.documents import DocumentService
from rtrag.application.engine import Engine, Parts
from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.indexer import Indexer
from rtrag.application.ingest import Ingest, IngestSettings, Monitor
from rtrag.application.letters import LetterService
from rtrag.application.memo import EmbeddingMemo
from rtrag.application.operations import OperationsService
from rtrag.application.problems import Problems
from rtrag.application.refresh import Refresh
from rtrag.application.retry import RetryPolicy
from rtrag.application.search import Search, SearchSettings
from rtrag.application.services import Collection, Services
from rtrag.application.totals import Totals
from rtrag.application.vectors import VectorSupply
from rtrag.application.verify import Verifier
from rtrag.config import Settings
from rtrag.config import models as configured
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.chunking import CHUNKER_VERSION, detect_format, header_fields, split
from rtrag.domain.composition import Chunker, Composer
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.manifest import SourceState
from rtrag.ports.changes import BatchLimits, Capture
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.documents import DocumentStore
from rtrag.ports.embedding import Embedder
from rtrag.ports.generation import Generator

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SOURCE = "postgres"
QUERY_VECTORS_BYTES = 4_000_000
DRAIN_SECONDS = 30.0
STATUS_SECONDS = 1.0  # how often an idle server is asked where it stands: bounds what an answer says of its lag


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """What the write path and the read path share."""

    settings: Settings
    collections: Mapping[str, Collection]
    postgres_url: str
    index: EdgeIndex
    letters: DeadLetters
    embedder: Embedder
    generator: Generator
    composer: Composer
    vectors: VectorSupply
    freshness: Freshness
    clean_up: CleanUp
    gate: FreshnessGate
    monitor: Monitor

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self.composer.mappings)


@asynccontextmanager
async def open_embedded(settings: Settings) -> AsyncIterator[Services]:
    """Everything in one process: PostgreSQL (embedded unless a URL is given), capture, index, queries.

    Yields when queries can be asked; copying and catching up go on beside, and the status tells. Leaving drains:
    the micro-batch under way is finished, flushed and acknowledged. Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        core = await _open_core(stack, settings)
        ingest = Ingest(
            index=core.index,
            indexer=Indexer(
                index=core.index,
                vectors=core.vectors,
                composer=core.composer,
                dead_letters=core.letters,
                totals=core.monitor.totals,
            ),
            letters=core.letters,
            freshness=core.freshness,
            clean_up=core.clean_up,
            monitor=core.monitor,
        )
        refresh = Refresh(core.freshness, ingest)
        parts = _parts(core, ingest, refresh)
        engine = Engine(parts)
        await _check_identity(core)
        services = await _services(stack, core, engine, parts, refresh)
        running = asyncio.create_task(engine.run(), name="engine")
        running.add_done_callback(lambda task: _tell_end(task, core.monitor.problems))
        stack.push_async_callback(_drain, engine, running)
        await _started(engine, running)
        yield services


async def _open_core(stack: AsyncExitStack, settings: Settings) -> _Core:
    data = settings.data_folder
    _make_folder(data)
    collections = {collection.name: collection for collection in settings.mapped_collections()}
    mappings = {table.table: table for collection in collections.values() for table in collection.tables}
    embedder = await _embedder(stack, settings)
    identity = ChunkingIdentity(
        chunker_version=CHUNKER_VERSION, model_id=embedder.model_id, dimensions=embedder.dimensions
    )
    if settings.postgres_url is None:
        url = (await stack.enter_async_context(open_embedded_postgres(data / "postgres"))).url
    else:
        url = settings.postgres_url.get_secret_value()
    index = await stack.enter_async_context(open_edge_index(data / "index", embedder.dimensions))
    letters = await stack.enter_async_context(open_sqlite_dead_letters(data / "dead_letters.sqlite"))
    freshness = Freshness()
    return _Core(
        settings=settings,
        collections=collections,
        postgres_url=url,
        index=index,
        letters=letters,
        embedder=embedder,
        generator=await _generator(stack, settings, embedder),
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
        monitor=Monitor(settings=_ingest_settings(settings), totals=Totals(), problems=Problems()),
    )


def _parts(core: _Core, ingest: Ingest, refresh: Refresh) -> Parts:
    settings = core.settings

    def open_capture(recorded: SourceState | None, copied: Mapping[str, int]) -> AbstractAsyncContextManager[Capture]:
        capture = CaptureSettings(
            url=core.postgres_url,
            mappings=tuple(core.composer.mappings.values()),
            name=SOURCE,
            slot=settings.source.slot,
            publication=settings.source.publication,
            times=StreamTimes(status_interval=STATUS_SECONDS),
        )
        identity = core.composer.chunker.identity
        return open_postgres_capture(capture, Recorded(state=recorded, copied=copied, identity=identity))

    async def compact() -> None:
        if core.index.needs_compaction():
            await core.index.compact()

    return Parts(
        index=core.index,
        ingest=ingest,
        freshness=core.freshness,
        gate=core.gate,
        refresh=refresh,
        clean_up=core.clean_up,
        copier=Copier(core.index, ingest, core.freshness, core.monitor.totals, settings.source.copy_page),
        monitor=core.monitor,
        open_capture=open_capture,
        source_name=SOURCE,
        tables=core.tables,
        compact=compact,
        withdrawn=core.index.withdrawn,
    )


async def _check_identity(core: _Core) -> None:
    """Refuse an index that was made with another model: its vectors do not compare."""
    recorded = await core.index.source(SOURCE)
    identity = core.composer.chunker.identity
    if recorded is not None and recorded.identity != identity:
        raise ConfigurationError(
            f"The index in {core.settings.data_folder / 'index'} was made with model {recorded.identity.model_id!r} "
            f"(chunking {recorded.identity.chunker_version}); now {identity.model_id!r} (chunking "
            f"{identity.chunker_version}) is configured, whose vectors do not compare.",
            fix="go back to the former setting, or delete that folder: the next start indexes all documents anew.",
        )


async def _services(stack: AsyncExitStack, core: _Core, engine: Engine, parts: Parts, refresh: Refresh) -> Services:
    query = core.settings.query
    waits = AnswerSettings(
        context_passages=query.context_passages,
        neighbours=query.neighbours,
        wait_ms=query.freshness_wait_ms,
        max_wait_ms=query.freshness_max_ms,
    )
    readers = Readers(
        search=Search(
            core.index,
            SearchSettings(depth=query.candidates, dense_weight=query.dense_weight),
            lambda: core.clean_up.hidden_below,
        ),
        embedder=core.embedder,
        generator=core.generator,
        memo=MemoryCache(query.answer_cache_bytes),
        vectors=MemoryCache(QUERY_VECTORS_BYTES),
        freshness=core.freshness,
        gate=core.gate,
        totals=core.monitor.totals,
    )
    static = isinstance(core.settings.embedder, configured.StaticEmbedder)
    verifier = Verifier(
        index=core.index,
        composer=core.composer,
        refresh=refresh,
        letters=core.letters,
        vectors=core.vectors if static else None,
    )
    return Services(
        collections=core.collections,
        answers=AnswerService(readers, core.collections, waits),
        documents=DocumentService(core.collections, await _stores(stack, core), core.index),
        letters=LetterService(core.letters, refresh),
        operations=OperationsService(
            engine=engine,
            parts=parts,
            letters=core.letters,
            verifier=verifier,
            waits=waits,
            model=core.embedder.model_id,
        ),
        postgres_url=core.postgres_url,
    )


async def _stores(stack: AsyncExitStack, core: _Core) -> Mapping[str, DocumentStore]:
    mappings = [collection.tables[0] for collection in core.collections.values()]
    stores = await stack.enter_async_context(open_document_stores(core.postgres_url, mappings))
    return {
        name: stores[collection.tables[0].table]
        for name, collection in core.collections.items()
        if collection.tables[0].table in stores
    }


async def _started(engine: Engine, running: "asyncio.Task[None]") -> None:
    """Wait for the first connection to PostgreSQL, or for the error that says why there is none."""
    connected = asyncio.create_task(engine.connected.wait(), name="connected")
    await asyncio.wait((connected, running), return_when=asyncio.FIRST_COMPLETED)
    connected.cancel()
    if running.done():
        await running


def _tell_end(task: "asyncio.Task[None]", problems: Problems) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        problems.set("engine", f"Indexing has stopped and needs a restart: {type(error).__name__}: {error}")


async def _drain(engine: Engine, running: "asyncio.Task[None]") -> None:
    engine.stop()
    # What is not acknowledged when the time is up comes again at the next start.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(running, DRAIN_SECONDS)


async def _embedder(stack: AsyncExitStack, settings: Settings) -> Embedder:
    match settings.embedder:
        case configured.StaticEmbedder():
            return StaticEmbedder()
        case configured.OpenAIEmbedder() as chosen:
            from rtrag.adapters.openai.embedder import OpenAIEmbedder  # noqa: PLC0415 - a second of imports

            client = await _client(stack, settings, chosen.base_url, chosen.timeout_seconds)
            return OpenAIEmbedder(client, model=chosen.model, dimensions=chosen.dimensions)
        case _ as unreachable:
            assert_never(unreachable)


async def _generator(stack: AsyncExitStack, settings: Settings, embedder: Embedder) -> Generator:
    match settings.generator:
        case configured.ExtractiveGenerator():
            # A remote embedder would cost a request for every question: then words alone decide.
            return ExtractiveGenerator(embedder if isinstance(embedder, StaticEmbedder) else None)
        case configured.OpenAIGenerator() as chosen:
            from rtrag.adapters.openai.generator import OpenAIGenerator  # noqa: PLC0415 - a second of imports

            client = await _client(stack, settings, chosen.base_url, chosen.timeout_seconds)
            return OpenAIGenerator(
                client,
                model=chosen.model,
                temperature=chosen.temperature,
                max_output_tokens=chosen.max_output_tokens,
            )
        case _ as unreachable:
            assert_never(unreachable)


async def _client(stack: AsyncExitStack, settings: Settings, base_url: str | None, seconds: float) -> "AsyncOpenAI":
    from openai import AsyncOpenAI  # noqa: PLC0415 - a second of imports

    key = settings.openai_api_key
    client = AsyncOpenAI(
        api_key=key.get_secret_value() if key else "none", base_url=base_url, timeout=seconds, max_retries=0
    )
    return await stack.enter_async_context(client)


def _ingest_settings(settings: Settings) -> IngestSettings:
    retry, indexing = settings.retry, settings.indexing
    return IngestSettings(
        limits=BatchLimits(events=indexing.batch_events, bytes=indexing.batch_bytes),
        flush_spacing=settings.index.flush_seconds,
        isolate_after=retry.attempts,
        retry=RetryPolicy(wait_initial=retry.initial_seconds, wait_max=retry.max_seconds),
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {folder} cannot be made: {error.strerror}.",
            fix="choose another with --data or RTRAG_DATA_FOLDER, or make it writable.",
        ) from error

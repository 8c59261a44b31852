"""What the entry points talk to, joined from the parts of an instance."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from rtrag.adapters.postgres.document_stores import open_document_stores
from rtrag.adapters.postgres.log_position import open_log_position
from rtrag.application.answer import AnswerService, AnswerSettings, Readers
from rtrag.application.documents import DocumentService
from rtrag.application.following import Follower
from rtrag.application.letters import LetterService
from rtrag.application.operations import Common, OperationsService, ReadingOperations, Watched
from rtrag.application.search import Search, SearchSettings
from rtrag.application.services import Answers, Services
from rtrag.application.verify import Verifier
from rtrag.bootstrap.core import Core
from rtrag.bootstrap.workers import Worker
from rtrag.config import models as configured
from rtrag.domain.position import Position
from rtrag.ports.documents import DocumentStore


async def open_services(stack: AsyncExitStack, core: Core, group: tuple[Worker, ...]) -> Services:
    """The services of a process that indexes; the stack closes their connections. Raises ConfigurationError."""
    parts = group[0].parts
    static = isinstance(core.settings.embedder, configured.StaticEmbedder)
    verifier = Verifier(
        index=core.index,
        composer=core.composer,
        refresh=parts.refresh,
        letters=core.letters,
        vectors=core.vectors if static else None,
    )
    return Services(
        collections=core.collections,
        answers=_answers(core, lambda: core.clean_up.hidden_below),
        documents=DocumentService(core.collections, await _stores(stack, core), core.index),
        letters=LetterService(core.letters, parts.refresh),
        operations=OperationsService(
            engines=[worker.engine for worker in group],
            parts=parts,
            letters=core.letters,
            verifier=verifier,
            common=_common(core),
        ),
        postgres_url=core.postgres_url,
    )


async def open_reading_services(stack: AsyncExitStack, core: Core, follower: Follower) -> Services:
    """The services of a process that only answers questions; the stack closes their connections."""
    core.gate.connect(await stack.enter_async_context(open_log_position(core.postgres_url)))
    watched = Watched(
        index=core.index,
        freshness=core.freshness,
        follower=follower,
        problems=core.monitor.problems,
        letters=core.letters,
        totals=core.monitor.totals,
        gate=core.gate,
    )
    return Services(
        collections=core.collections,
        answers=_answers(core, lambda: follower.hidden_below),
        documents=DocumentService(core.collections, {}, core.index),
        letters=LetterService(core.letters, refresh=None),
        operations=ReadingOperations(watched, _common(core)),
        postgres_url=core.postgres_url,
    )


def _answers(core: Core, hidden_below: Callable[[], tuple[tuple[str, Position], ...]]) -> Answers:
    query = core.settings.query
    readers = Readers(
        search=Search(
            core.index, SearchSettings(depth=query.candidates, dense_weight=query.dense_weight), hidden_below
        ),
        embedder=core.embedder,
        generator=core.generator,
        answer_cache=core.caches.answers,
        question_vectors=core.caches.question_vectors,
        freshness=core.freshness,
        gate=core.gate,
        totals=core.monitor.totals,
    )
    return AnswerService(readers, core.collections, _waits(core))


def _waits(core: Core) -> AnswerSettings:
    query = core.settings.query
    return AnswerSettings(
        context_passages=query.context_passages,
        neighbours=query.neighbours,
        wait_ms=query.freshness_wait_ms,
        max_wait_ms=query.freshness_max_ms,
        shared_index=core.opened.shared,
    )


def _common(core: Core) -> Common:
    return Common(
        waits=_waits(core),
        model=core.embedder.model_id,
        cache_counts=core.caches.counts,
        cache_warnings=core.caches.warnings,
    )


async def _stores(stack: AsyncExitStack, core: Core) -> Mapping[str, DocumentStore]:
    mappings = [collection.tables[0] for collection in core.collections.values()]
    stores = await stack.enter_async_context(open_document_stores(core.postgres_url, mappings))
    return {
        name: stores[collection.tables[0].table]
        for name, collection in core.collections.items()
        if collection.tables[0].table in stores
    }

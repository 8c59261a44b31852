"""What the entry points talk to, joined from the parts of an instance."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from rtrag.adapters.memory_cache import MemoryCache
from rtrag.adapters.postgres.document_stores import open_document_stores
from rtrag.application.answer import AnswerService, AnswerSettings, Readers
from rtrag.application.documents import DocumentService
from rtrag.application.engine import Engine, Parts
from rtrag.application.letters import LetterService
from rtrag.application.operations import OperationsService
from rtrag.application.refresh import Refresh
from rtrag.application.search import Search, SearchSettings
from rtrag.application.services import Services
from rtrag.application.verify import Verifier
from rtrag.bootstrap.core import Core
from rtrag.config import models as configured
from rtrag.ports.documents import DocumentStore

QUESTION_VECTORS_BYTES = 4_000_000


async def open_services(stack: AsyncExitStack, core: Core, engine: Engine, parts: Parts, refresh: Refresh) -> Services:
    """The services of an instance; the stack closes their connections. Raises ConfigurationError."""
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
        answer_cache=MemoryCache(query.answer_cache_bytes),
        question_vectors=MemoryCache(QUESTION_VECTORS_BYTES),
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


async def _stores(stack: AsyncExitStack, core: Core) -> Mapping[str, DocumentStore]:
    mappings = [collection.tables[0] for collection in core.collections.values()]
    stores = await stack.enter_async_context(open_document_stores(core.postgres_url, mappings))
    return {
        name: stores[collection.tables[0].table]
        for name, collection in core.collections.items()
        if collection.tables[0].table in stores
    }

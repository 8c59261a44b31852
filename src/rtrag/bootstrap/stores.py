"""What keeps data, as it is configured: the index, the dead letters, the caches."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial

from rtrag.adapters.layered_cache import LayeredCache
from rtrag.adapters.memory_cache import MemoryCache
from rtrag.adapters.qdrant.edge import open_edge_index
from rtrag.adapters.sqlite_dead_letters import open_sqlite_dead_letters
from rtrag.bootstrap.extras import needs_extra
from rtrag.config import KafkaSource, QdrantIndex, Settings
from rtrag.domain.document import DocumentKey
from rtrag.ports.cache import Cache
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.index import Index

QUESTION_VECTORS_BYTES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIndex:
    """An index, and what only some need: ``compact`` where it is ours to do, documents to read again after a crash.

    ``shared`` when other processes may read and write it.
    """

    index: Index
    shared: bool
    place: str
    compact: Callable[[], Awaitable[None]] | None = None
    withdrawn: Sequence[DocumentKey] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """Answers by their evidence and vectors of questions; what became of the calls, and what is wrong, in words."""

    answers: Cache
    question_vectors: Cache
    counts: Callable[[], Mapping[str, int]] = dict
    warnings: Callable[[], tuple[str, ...]] = tuple


async def open_index(stack: AsyncExitStack, settings: Settings, dimensions: int, model: str) -> OpenIndex:
    """The index; the stack closes it. Raises ConfigurationError, ServiceUnavailableError where a server is away."""
    chosen = settings.index
    if isinstance(chosen, QdrantIndex):
        with needs_extra("The index `qdrant`"):
            from rtrag.adapters.qdrant.server import open_qdrant_index  # noqa: PLC0415 - its libraries are an extra
            from rtrag.adapters.qdrant.server_settings import QdrantSettings  # noqa: PLC0415 - as above
        fields = chosen.model_dump(exclude={"kind", "flush_seconds", "api_key"})
        key = chosen.api_key.get_secret_value() if chosen.api_key else None
        server = QdrantSettings(url=settings.qdrant_url or "", api_key=key, **fields)
        index = await stack.enter_async_context(open_qdrant_index(server, dimensions, model=model))
        return OpenIndex(index=index, shared=True, place=f"collection {chosen.collection!r} at {settings.qdrant_url}")
    folder = settings.data_folder / "index"
    edge = await stack.enter_async_context(open_edge_index(folder, dimensions))

    async def compact() -> None:
        if edge.needs_compaction():
            await edge.compact()

    return OpenIndex(index=edge, shared=False, place=f"folder {folder}", compact=compact, withdrawn=edge.withdrawn)


def letters_opening(settings: Settings) -> Callable[[], AbstractAsyncContextManager[DeadLetters]]:
    """How to open the dead letters: in Kafka where the changes come from there, else in a file."""
    source = settings.source
    if isinstance(source, KafkaSource):
        with needs_extra("The source `kafka`"):
            from rtrag.adapters.kafka.letters import open_kafka_dead_letters  # noqa: PLC0415 - its libraries are an extra
        servers = settings.kafka_bootstrap_servers or ""
        return partial(open_kafka_dead_letters, servers, source.options, source.topic_prefix)
    return partial(open_sqlite_dead_letters, settings.data_folder / "dead_letters.sqlite")


async def open_caches(stack: AsyncExitStack, settings: Settings) -> Caches:
    """The caches: in memory, and behind that in Redis if there is one. Raises ConfigurationError for its address."""
    answers: Cache = MemoryCache(settings.query.answer_cache_bytes)
    vectors: Cache = MemoryCache(QUESTION_VECTORS_BYTES)
    if settings.redis_url is None:
        return Caches(answers=answers, question_vectors=vectors)
    with needs_extra("REDIS_URL"):
        from rtrag.adapters.redis_cache import open_redis_cache  # noqa: PLC0415 - its libraries are an extra
    redis = await stack.enter_async_context(
        open_redis_cache(settings.redis_url.get_secret_value(), prefix="rtrag:answer:")
    )

    def warnings() -> tuple[str, ...]:
        return () if redis.available else ("Redis does not answer: what it keeps is computed again.",)

    def counts() -> Mapping[str, int]:
        found = redis.counters
        return {
            "cache_hits": found.hits,
            "cache_misses": found.misses,
            "cache_errors": found.errors + found.skipped,
        }

    vectors_behind = redis.apart("rtrag:question:", redis.counters)
    return Caches(
        answers=LayeredCache(answers, redis),
        question_vectors=LayeredCache(vectors, vectors_behind),
        counts=counts,
        warnings=warnings,
    )

"""A cache on a Redis or Valkey server, shared by processes. Nothing that a guarantee rests on: a lost server is a miss.

Whatever goes wrong there is counted and told once. A server that does not answer costs a query its timeout once, then
nothing: it is left alone for a while (``CircuitBreaker``). A server that answers but refuses (memory full, a replica,
no permission) is left alone for the refused kind of command only.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Literal, TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from rtrag.adapters.circuit_breaker import CircuitBreaker, Pauses
from rtrag.adapters.redis_address import FIX, place_of
from rtrag.domain.errors import ConfigurationError

Operation: TypeAlias = Literal["reads", "writes"]

DEFAULT_PREFIX: Final = "rtrag:"
_FORM: Final = b"\x01"  # of what is stored; another form under the same key is a miss
_CHECK_BYTES: Final = 8
_LOOK_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLimits:
    """Times in seconds, values in bytes. ``ttl`` bounds memory alone: what is kept is never stale."""

    connect: float = 0.5
    operation: float = 0.2
    health_check: int = 15
    connections: int = 32
    ttl: int = 86_400
    max_value_bytes: int = 1_000_000
    pauses: Pauses = field(default_factory=Pauses)


@dataclass(slots=True, kw_only=True)
class CacheCounters:
    """What became of the calls: each ``get`` is a hit or a miss.

    Beside those: ``errors`` are calls that failed at the server, or found what is not ours; ``skipped`` are calls that
    were not tried because of an earlier failure; ``too_large`` are values that were not kept.
    """

    hits: int = 0
    misses: int = 0
    errors: int = 0
    skipped: int = 0
    too_large: int = 0


class _Lost(Enum):
    SKIPPED = auto()
    FAILED = auto()


class RedisCache:
    """See ``rtrag.ports.cache.Cache``. Made by ``open_redis_cache``.

    Keys are hashed, so that any text is one and no question can be read there. A put that is lost leaves what was there
    before; our keys name the content they stand for, so that is the same value.
    """

    def __init__(self, server: "_Server", prefix: str, limits: RedisLimits, counters: CacheCounters) -> None:
        self._server = server
        self._prefix = prefix
        self._limits = limits
        self.counters = counters

    @property
    def available(self) -> bool:
        """Whether the last answer of the server was one. A cache that is not may be missed, but stops nothing."""
        return self._server.available

    def apart(self, prefix: str, counters: CacheCounters | None = None) -> "RedisCache":
        """Another cache on the same connections, with keys and counters of its own."""
        return RedisCache(self._server, prefix, self._limits, counters or CacheCounters())

    async def look(self) -> object:
        """Ask the server for anything at all, so that ``available`` is true to the moment."""
        return await self._server.ask("reads", lambda redis: redis.get(f"{self._prefix}start"))

    async def get(self, key: str) -> bytes | None:
        """The value; None if it is not there, or the server is not."""
        name = self._name(key)
        found = await self._server.ask("reads", lambda redis: redis.get(name))
        value = None if isinstance(found, _Lost) else self._opened(name, found)
        if value is None:
            self.counters.misses += 1
        else:
            self.counters.hits += 1
        self._count(found)
        return value

    async def put(self, key: str, value: bytes) -> None:
        """Keep the value if there is room, and a server."""
        name = self._name(key)
        if len(value) > self._limits.max_value_bytes:
            self.counters.too_large += 1
            self._count(await self._server.ask("writes", lambda redis: redis.delete(name)))
            return
        kept = _check(name, value) + value
        self._count(await self._server.ask("writes", lambda redis: redis.set(name, kept, ex=self._limits.ttl)))

    def _name(self, key: str) -> str:
        return self._prefix + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

    def _opened(self, name: str, kept: Any) -> bytes | None:
        if kept is None:
            return None
        head = len(_FORM) + _CHECK_BYTES
        if isinstance(kept, bytes) and kept[:head] == _check(name, kept[head:]):
            return kept[head:]
        self.counters.errors += 1  # cut off, or written by somebody else
        return None

    def _count(self, found: Any) -> None:
        if found is _Lost.FAILED:
            self.counters.errors += 1
        elif found is _Lost.SKIPPED:
            self.counters.skipped += 1


class _Server:
    """The server as it is: asked where that makes sense, with what changes told in the log."""

    def __init__(self, redis: Redis, place: str, limits: RedisLimits) -> None:
        self._redis = redis
        self._place = place
        self._seconds = limits.connect + limits.operation
        self._answers = CircuitBreaker(limits.pauses, time.monotonic)
        self._accepts = {side: CircuitBreaker(limits.pauses, time.monotonic) for side in ("reads", "writes")}

    @property
    def available(self) -> bool:
        return self._answers.closed

    async def ask(self, operation: Operation, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """What the server says, or how the call was lost. Raises nothing of the server's."""
        accepts, task = self._accepts[operation], asyncio.current_task()
        before = task.cancelling() if task else 0
        if not self._answers.allows() or not accepts.allows():
            return _Lost.SKIPPED
        try:
            async with asyncio.timeout(self._seconds):
                said = await command(self._redis)
        except ResponseError as error:
            self._answered()
            # A key that holds something else says nothing of the next key.
            if not str(error).startswith("WRONGTYPE") and accepts.failed():
                _log.warning("redis_refuses server=%s operation=%s cause=%r", self._place, operation, str(error))
            return _Lost.FAILED
        except (RedisError, OSError, ValueError) as error:  # ValueError: what answers speaks something else
            if self._answers.failed():
                cause = f"{type(error).__name__}: {error}"
                _log.warning("redis_away server=%s cause=%r", self._place, cause)
            return _Lost.FAILED
        finally:
            if task and task.cancelling() > before:  # the client loses cancellations by wait_for of Python 3.11
                raise asyncio.CancelledError
        self._answered()
        lasted = accepts.succeeded()
        if lasted is not None:
            _log.warning("redis_accepts server=%s operation=%s after_seconds=%.1f", self._place, operation, lasted)
        return said

    def _answered(self) -> None:
        lasted = self._answers.succeeded()
        if lasted is not None:
            _log.warning("redis_back server=%s after_seconds=%.1f", self._place, lasted)


@asynccontextmanager
async def open_redis_cache(
    url: str,
    *,
    prefix: str = DEFAULT_PREFIX,
    limits: RedisLimits = RedisLimits(),
    counters: CacheCounters | None = None,
) -> AsyncIterator[RedisCache]:
    """A cache on the server at ``url``, asked once at the start so that one that is away is told at once.

    Raises ConfigurationError if the address is none; a server that is away is no error, here as later.
    """
    place = place_of(url)
    redis = Redis(connection_pool=_pool(url, limits))
    cache = RedisCache(_Server(redis, place, limits), prefix, limits, counters or CacheCounters())
    try:
        cache._count(await cache.look())  # noqa: SLF001 - ours
        looking = asyncio.create_task(_look_when_away(cache), name="redis looked after")
        try:
            yield cache
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    finally:
        try:
            await redis.connection_pool.disconnect()
        except (RedisError, OSError) as error:
            _log.info("redis_close server=%s cause=%r", place, str(error))


async def _look_when_away(cache: RedisCache) -> None:
    """Find out that a server is back even while nobody asks for anything; how often, its breaker decides."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not cache.available:
            await cache.look()


def _pool(url: str, limits: RedisLimits) -> BlockingConnectionPool:
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=limits.connections,
            timeout=limits.operation,
            protocol=3,
            socket_connect_timeout=limits.connect,
            socket_timeout=limits.operation,
            health_check_interval=limits.health_check,
            # Once, at once, and not after a timeout: for a connection that went stale while it was idle.
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            driver_info=None,
        )
        pool.connection_class(**pool.connection_kwargs)  # options that do not exist show only here
    except (ValueError, TypeError, RedisError) as error:
        raise ConfigurationError(f"REDIS_URL cannot be used: {error}.", fix=FIX) from error
    return pool


def _check(name: str, value: bytes) -> bytes:
    return _FORM + hashlib.blake2b(value, digest_size=_CHECK_BYTES, key=name[-64:].encode("ascii")).digest()

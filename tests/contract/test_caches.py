"""Every cache against the contract, and what the one in memory promises beyond it."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.cache_contract import CacheContract
from integration.redis.server import REDIS, VALKEY, RedisServer, running
from rtrag.adapters.memory_cache import MemoryCache
from rtrag.adapters.redis_cache import RedisCache, open_redis_cache


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def cache(self) -> MemoryCache:
        return MemoryCache(10_000)

    async def test_what_was_used_last_stays(self) -> None:
        cache = MemoryCache(1000)
        await cache.put("a", bytes(200))
        await cache.put("b", bytes(200))
        assert await cache.get("a") is not None
        await cache.put("c", bytes(200))
        assert await cache.get("b") is None
        assert await cache.get("a") is not None
        assert await cache.get("c") is not None

    async def test_what_is_larger_than_the_bound_is_not_kept_and_drives_nothing_out(self) -> None:
        cache = MemoryCache(1000)
        await cache.put("a", b"small")
        await cache.put("b", bytes(2000))
        assert await cache.get("b") is None
        assert await cache.get("a") == b"small"

    async def test_a_value_that_outgrows_the_bound_leaves_no_old_one_behind(self) -> None:
        cache = MemoryCache(1000)
        await cache.put("a", b"old")
        await cache.put("a", bytes(2000))
        assert await cache.get("a") is None
        assert cache.size == 0

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 900))), st.integers(0, 2500))
    async def test_the_bound_holds_whatever_is_put(self, puts: list[tuple[str, int]], bound: int) -> None:
        cache = MemoryCache(bound)
        for key, length in puts:
            await cache.put(key, bytes(length))
            assert 0 <= cache.size <= bound
        if not len(cache):
            assert cache.size == 0


@pytest.fixture(scope="module", params=[REDIS, VALKEY])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(request.param, tmp_path_factory.mktemp("redis")) as server:
        yield server


class TestRedisCache(CacheContract):
    @pytest.fixture
    async def cache(self, server: RedisServer) -> AsyncIterator[RedisCache]:
        async with open_redis_cache(server.url, prefix=f"{uuid4()}:") as cache:
            yield cache
            assert (cache.counters.errors, cache.counters.skipped) == (0, 0)

"""What a real server does to a cache: it dies, freezes, refuses and lies, and every time that is a counted miss."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from integration.redis.server import REDIS, RedisServer, free_port, running
from rtrag.adapters.circuit_breaker import Pauses
from rtrag.adapters.redis_cache import CacheCounters, RedisCache, RedisLimits, open_redis_cache

QUICK = RedisLimits(pauses=Pauses(first=0.02, longest=0.05))
PATIENT = RedisLimits(pauses=Pauses(first=600.0, longest=600.0))  # once open, it stays open for a test


@pytest.fixture
async def cache(server: RedisServer) -> AsyncIterator[RedisCache]:
    async with open_redis_cache(server.url, limits=QUICK) as cache:
        yield cache


async def test_a_value_is_found_by_another_process_and_expires(server: RedisServer, cache: RedisCache) -> None:
    await cache.put("key", b"value")
    async with open_redis_cache(server.url) as other:
        assert await other.get("key") == b"value"
        assert other.counters == CacheCounters(hits=1)
    [name] = server.ask("KEYS", "*")
    assert name.startswith(b"rtrag:")
    assert 0 < server.ask("TTL", name) <= QUICK.ttl


async def test_caches_apart_share_a_server_and_nothing_else(cache: RedisCache) -> None:
    apart = cache.apart("rtrag:vectors:")
    await cache.put("key", b"answer")
    assert await apart.get("key") is None
    await apart.put("key", b"vector")
    assert (await cache.get("key"), await apart.get("key")) == (b"answer", b"vector")
    assert (cache.counters, apart.counters) == (CacheCounters(hits=1), CacheCounters(hits=1, misses=1))


async def test_a_lost_redis_is_a_miss_until_it_is_back(
    server: RedisServer, cache: RedisCache, caplog: pytest.LogCaptureFixture
) -> None:
    await cache.put("key", b"value")
    server.kill()
    for _ in range(100):
        assert await cache.get("key") is None
        await cache.put("key", b"value")
    assert cache.counters.misses == 100
    assert cache.counters.errors + cache.counters.skipped == 200
    assert cache.counters.errors >= 1
    server.start()
    await until(lambda: found_again(cache))
    away, back = caplog.messages
    assert away.startswith(f"redis_away server=127.0.0.1:{server.port}/0")
    assert back.startswith("redis_back")
    assert cache.available


async def test_a_redis_that_never_answers_is_asked_once_and_then_left_alone(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_redis_cache(server.url, limits=PATIENT) as cache:
        await cache.put("key", b"value")
        server.freeze()
        assert await cache.get("key") is None
        assert await asyncio.gather(*(cache.get("key") for _ in range(200))) == [None] * 200
        assert cache.counters == CacheCounters(misses=201, errors=1, skipped=200)
        server.thaw()
    assert len(caplog.messages) == 1
    assert "TimeoutError" in caplog.messages[0]


async def test_calls_under_way_when_it_freezes_all_end_as_misses(server: RedisServer) -> None:
    async with open_redis_cache(server.url, limits=PATIENT) as cache:
        server.freeze()
        assert await asyncio.gather(*(cache.get(f"key {number}") for number in range(200))) == [None] * 200
        assert cache.counters.misses == cache.counters.errors + cache.counters.skipped == 200
        server.thaw()


async def test_a_frozen_redis_that_thaws_is_used_again(server: RedisServer, cache: RedisCache) -> None:
    await cache.put("key", b"value")
    server.freeze()
    await until(lambda: is_away(cache))
    server.thaw()
    await until(lambda: found_again(cache))
    assert await cache.get("key") == b"value"


async def test_a_caller_that_gives_up_takes_no_connection_with_it(server: RedisServer) -> None:
    limits = replace(QUICK, connections=2)
    async with open_redis_cache(server.url, limits=limits) as cache:
        await cache.put("key", b"value")
        server.freeze()
        calls = [asyncio.create_task(cache.get("key")) for _ in range(20)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True)
        )
        server.thaw()
        await until(lambda: found_again(cache))


@pytest.mark.parametrize(
    "form",
    [
        "redis://127.0.0.1:{}",
        "redis://:a%20b@127.0.0.1:{}/3",
        "rediss://127.0.0.1:{}/0",
        "redis://user:pass@127.0.0.1:{}/0?db=1",
        "unix:///nowhere/redis-{}.sock",
    ],
)
async def test_a_server_that_is_away_at_the_start_is_no_error(form: str, caplog: pytest.LogCaptureFixture) -> None:
    async with open_redis_cache(form.format(free_port()), limits=PATIENT) as cache:
        await cache.put("key", b"value")
        assert await cache.get("key") is None
        assert not cache.available
        assert cache.counters == CacheCounters(misses=1, errors=1, skipped=2)
    [told] = caplog.messages
    assert told.startswith("redis_away")
    assert "a b" not in told
    assert "pass" not in told


async def test_a_server_that_comes_after_the_start_is_used(tmp_path: Path) -> None:
    with running(REDIS, tmp_path) as server:
        server.kill()
        async with open_redis_cache(server.url, limits=QUICK) as cache:
            assert not cache.available
            server.start()
            await until(lambda: found_again(cache))


async def test_a_full_memory_refuses_puts_and_still_gives_what_it_has(
    server: RedisServer, cache: RedisCache, caplog: pytest.LogCaptureFixture
) -> None:
    await cache.put("key", b"value")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    for number in range(100):
        await cache.put(f"other {number}", b"value")
        assert await cache.get("key") == b"value"
    assert cache.counters.errors + cache.counters.skipped == 100
    assert cache.counters.hits == 100
    assert cache.available
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await until(lambda: found_again(cache))
    refuses, accepts = caplog.messages
    assert refuses.startswith(f"redis_refuses server=127.0.0.1:{server.port}/0 operation=writes")
    assert accepts.startswith("redis_accepts")


async def test_a_replica_that_is_read_only_gives_and_takes_nothing(server: RedisServer, cache: RedisCache) -> None:
    await cache.put("key", b"value")
    server.ask("REPLICAOF", "127.0.0.1", str(free_port()))
    await cache.put("new", b"value")
    assert (await cache.get("key"), await cache.get("new")) == (b"value", None)
    assert cache.counters == CacheCounters(hits=1, misses=1, errors=1)


async def test_a_password_changed_while_it_runs_is_a_miss_until_it_is_right(
    server: RedisServer, cache: RedisCache, caplog: pytest.LogCaptureFixture
) -> None:
    await cache.put("key", b"value")
    server.ask("CONFIG", "SET", "requirepass", "other")
    server.ask("CLIENT", "KILL", "TYPE", "normal", password="other")
    await until(lambda: is_away(cache))
    server.ask("CONFIG", "SET", "requirepass", "", password="other")
    await until(lambda: found_again(cache))
    assert [message.split()[0] for message in caplog.messages] == ["redis_away", "redis_back"]


async def test_a_wrong_password_is_told_without_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(REDIS, tmp_path, "--requirepass", "right") as server:
        async with open_redis_cache(server.url.replace("//", "//:wr0ng@"), limits=PATIENT) as cache:
            assert await cache.get("key") is None
        assert cache.counters == CacheCounters(misses=1, errors=1, skipped=1)
        [told] = caplog.messages
        assert "AuthenticationError" in told
        assert "wr0ng" not in told
        async with open_redis_cache(server.url.replace("//", "//:right@")) as cache:
            await cache.put("key", b"value")
            assert await cache.get("key") == b"value"


async def test_a_user_with_the_least_permissions_is_enough(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "cache", "on", ">secret", "~rtrag:*", "+get", "+set", "+del", "+ping")
    async with open_redis_cache(server.url.replace("//", "//cache:secret@")) as cache:
        await cache.put("key", b"value")
        assert await cache.get("key") == b"value"
        assert cache.counters == CacheCounters(hits=1)


async def test_a_key_that_holds_something_else_is_a_miss_and_mended_by_the_next_put(
    server: RedisServer, cache: RedisCache
) -> None:
    await cache.put("list", b"value")
    [name] = server.ask("KEYS", "*")
    server.ask("DEL", name)
    server.ask("LPUSH", name, "item")
    assert await cache.get("list") is None
    await cache.put("other", b"value")
    assert await cache.get("other") == b"value"
    await cache.put("list", b"value")
    assert await cache.get("list") == b"value"
    assert cache.counters == CacheCounters(hits=2, misses=1, errors=1)


@pytest.mark.parametrize("damaged", [b"", b"value", b"\xff" * 50, b"\x01" + b"\x00" * 20])
async def test_what_somebody_else_wrote_is_a_miss(server: RedisServer, cache: RedisCache, damaged: bytes) -> None:
    await cache.put("key", b"value")
    [name] = server.ask("KEYS", "*")
    server.ask("SET", name, damaged)
    assert await cache.get("key") is None
    assert cache.counters == CacheCounters(misses=1, errors=1)


async def test_a_value_cut_off_or_moved_to_another_key_is_a_miss(server: RedisServer, cache: RedisCache) -> None:
    await cache.put("key", b"value")
    [name] = server.ask("KEYS", "*")
    await cache.put("other", b"another")
    [other] = set(server.ask("KEYS", "*")) - {name}
    server.ask("COPY", name, other, "REPLACE")
    assert await cache.get("other") is None
    server.ask("SET", name, server.ask("GETRANGE", name, "0", "-2"))
    assert await cache.get("key") is None


async def test_any_text_is_a_key(cache: RedisCache) -> None:
    keys = ["", "\x00", "caf\udce9", "ключ", "x" * 100_000, "a\r\nb"]
    for number, key in enumerate(keys):
        await cache.put(key, bytes([number]))
    assert [await cache.get(key) for key in keys] == [bytes([number]) for number in range(len(keys))]


async def test_a_value_too_large_is_not_kept_and_leaves_no_old_one_behind(server: RedisServer) -> None:
    async with open_redis_cache(server.url, limits=RedisLimits(max_value_bytes=100)) as cache:
        await cache.put("key", bytes(100))
        assert await cache.get("key") == bytes(100)
        await cache.put("key", bytes(101))
        assert await cache.get("key") is None
        assert cache.counters == CacheCounters(hits=1, misses=1, too_large=1)


async def test_a_connection_that_the_server_closed_costs_no_miss(server: RedisServer, cache: RedisCache) -> None:
    await cache.put("key", b"value")
    server.ask("CLIENT", "KILL", "TYPE", "normal")
    assert await cache.get("key") == b"value"


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*abc\r\n", b"%1\r\n", b"\x00\x01\x02\r\n", b""]
)
async def test_a_server_that_speaks_something_else_is_a_miss(said: bytes) -> None:
    async with (
        saying(said) as url,
        open_redis_cache(url, limits=PATIENT) as cache,
    ):
        await cache.put("key", b"value")
        assert await cache.get("key") is None
        assert not cache.available


def saying(said: bytes) -> AbstractAsyncContextManager[str]:
    """The address of a server that says this and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listening() -> AsyncIterator[str]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"

    return listening()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


async def found_again(cache: RedisCache) -> bool:
    await cache.put("again", b"value")
    return await cache.get("again") is not None


async def is_away(cache: RedisCache) -> bool:
    await cache.get("key")
    return not cache.available

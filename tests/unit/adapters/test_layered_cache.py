"""A cache of this process before one that is shared."""

from rtrag.adapters.layered_cache import LayeredCache
from rtrag.adapters.memory_cache import MemoryCache


def layers() -> tuple[MemoryCache, MemoryCache, LayeredCache]:
    near, far = MemoryCache(10_000), MemoryCache(10_000)
    return near, far, LayeredCache(near, far)


async def test_what_another_process_has_kept_is_found_and_then_kept_here() -> None:
    near, far, cache = layers()
    await far.put("a", b"1")
    assert await cache.get("a") == b"1"
    assert await near.get("a") == b"1"


async def test_what_is_kept_is_kept_for_others_too() -> None:
    near, far, cache = layers()
    await cache.put("a", b"1")
    assert await near.get("a") == await far.get("a") == b"1"


async def test_what_nobody_has_kept_is_a_miss() -> None:
    _, _, cache = layers()
    assert await cache.get("a") is None

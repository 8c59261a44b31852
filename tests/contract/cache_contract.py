"""What every cache must do."""

from rtrag.ports.cache import Cache


class CacheContract:
    """Subclasses give a fixture ``cache``, empty, with room for at least a few kilobytes."""

    async def test_a_key_never_put_is_a_miss(self, cache: Cache) -> None:
        assert await cache.get("never") is None

    async def test_a_value_comes_back_as_it_was_put(self, cache: Cache) -> None:
        await cache.put("key", b"\x00\xffvalue")
        assert await cache.get("key") == b"\x00\xffvalue"

    async def test_an_empty_value_is_a_value(self, cache: Cache) -> None:
        await cache.put("key", b"")
        assert await cache.get("key") == b""

    async def test_the_last_value_put_counts(self, cache: Cache) -> None:
        await cache.put("key", b"old")
        await cache.put("key", b"new")
        assert await cache.get("key") == b"new"

    async def test_keys_are_told_apart(self, cache: Cache) -> None:
        await cache.put("a", b"1")
        await cache.put("A", b"2")
        assert (await cache.get("a"), await cache.get("A")) == (b"1", b"2")

"""A small cache of this process before a large one that processes share."""

from rtrag.ports.cache import Cache


class LayeredCache:
    """See ``rtrag.ports.cache.Cache``. What is found in the far one is kept in the near one."""

    def __init__(self, near: Cache, far: Cache) -> None:
        self._near = near
        self._far = far

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        found = await self._near.get(key)
        if found is None:
            found = await self._far.get(key)
            if found is not None:
                await self._near.put(key, found)
        return found

    async def put(self, key: str, value: bytes) -> None:
        """Keep the value in both."""
        await self._near.put(key, value)
        await self._far.put(key, value)

"""A cache in this process, bounded by bytes."""

from collections import OrderedDict

_ENTRY_OVERHEAD = 200  # bytes that Python needs for an entry besides key and value, about


class MemoryCache:
    """Keeps what was used last. Entries larger than the whole bound are not kept."""

    def __init__(self, max_bytes: int) -> None:
        """``max_bytes`` counts keys, values and an estimate of the overhead; 0 keeps nothing."""
        self._max_bytes = max_bytes
        self._size = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes in use, by the same count as the bound."""
        return self._size

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> bytes | None:
        """See ``rtrag.ports.cache.Cache``."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes) -> None:
        """See ``rtrag.ports.cache.Cache``."""
        replaced = self._entries.pop(key, None)
        if replaced is not None:
            self._size -= _cost(key, replaced)
        if _cost(key, value) > self._max_bytes:
            return
        self._entries[key] = value
        self._size += _cost(key, value)
        while self._size > self._max_bytes:
            oldest, dropped = self._entries.popitem(last=False)
            self._size -= _cost(oldest, dropped)


def _cost(key: str, value: bytes) -> int:
    # A string takes up to four bytes a character; keys of ours are hexadecimal, one byte each.
    return len(key) + len(value) + _ENTRY_OVERHEAD

"""A bounded cache: nothing that a guarantee rests on."""

from typing import Protocol


class Cache(Protocol):
    """Key to bytes. Losing an entry, or all of them, is a miss and never an error."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Keep the value for as long as there is room."""
        ...

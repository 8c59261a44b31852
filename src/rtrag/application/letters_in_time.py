"""Dead letters that may not be there yet: a process that only answers questions begins and goes on without them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import RtragError, ServiceUnavailableError
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter, DeadLetters

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0


class LettersInTime:
    """Port DeadLetters: until they could be opened none are listed, and whether a document has one raises."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[DeadLetters]]) -> None:
        self._opening = opening
        self._letters: DeadLetters | None = None
        self._closed: str | None = "The dead letters are not read yet."

    @property
    def trouble(self) -> str | None:
        """See the port."""
        return self._closed if self._letters is None else self._letters.trouble

    async def run(self) -> None:
        """Open them, and again whenever that fails or they fail, until cancelled."""
        delay = FIRST_SECONDS
        while True:
            try:
                async with self._opening() as self._letters:
                    delay = FIRST_SECONDS
                    while True:
                        await asyncio.sleep(LOOK_SECONDS)
                        await self._letters.count()
            except RtragError as error:
                self._closed = f"The dead letters cannot be read, so tokens that depend on them are refused: {error}"
            finally:
                self._letters = None
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_SECONDS)

    async def put(self, letter: DeadLetter) -> None:
        """See the port."""
        await self._opened().put(letter)

    async def get(self, key: DocumentKey) -> DeadLetter | None:
        """See the port."""
        return None if self._letters is None else await self._letters.get(key)

    async def open_keys(self, keys: Sequence[DocumentKey]) -> frozenset[DocumentKey]:
        """See the port."""
        return await self._opened().open_keys(keys)

    async def list(self, *, limit: int = 100, after: DocumentKey | None = None) -> Sequence[DeadLetter]:
        """See the port."""
        return () if self._letters is None else await self._letters.list(limit=limit, after=after)

    async def close(self, key: DocumentKey, *, at_or_below: Position | None = None) -> bool:
        """See the port."""
        return await self._opened().close(key, at_or_below=at_or_below)

    async def count(self) -> int:
        """See the port."""
        return 0 if self._letters is None else await self._letters.count()

    def _opened(self) -> DeadLetters:
        if self._letters is None:
            raise ServiceUnavailableError(self._closed)
        return self._letters

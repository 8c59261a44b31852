"""Dead letters for people: look, replay, drop."""

from collections.abc import Sequence

from rtrag.application.refresh import Refresh
from rtrag.application.services import ReplayOutcome
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import InvalidRequestError, NotFoundError
from rtrag.ports.dead_letters import DeadLetter, DeadLetters

REPLAY_BATCH = 100


class LetterService:
    """Implements ``services.Letters``; without ``refresh``, in a process that indexes nothing, nothing is replayed."""

    def __init__(self, letters: DeadLetters, refresh: Refresh | None) -> None:
        self._letters = letters
        self._refresh = refresh

    async def list(self, *, limit: int, after: str | None) -> Sequence[DeadLetter]:
        """Open letters in key order."""
        return await self._letters.list(limit=limit, after=None if after is None else _parse(after))

    async def count(self) -> int:
        """How many are open."""
        return await self._letters.count()

    async def show(self, key: str) -> DeadLetter:
        """One letter."""
        found = await self._letters.get(_parse(key))
        if found is None:
            raise NotFoundError(f"There is no open dead letter of {key}.")
        return found

    async def replay(self, key: str | None) -> Sequence[ReplayOutcome]:
        """Index the rows as they are now. Letters of those that pass close when that is durable."""
        if key is not None:
            return await self._replay([(await self.show(key)).key])
        outcomes: list[ReplayOutcome] = []
        after: DocumentKey | None = None
        while letters := await self._letters.list(limit=REPLAY_BATCH, after=after):
            after = letters[-1].key
            outcomes += await self._replay([letter.key for letter in letters])
        return outcomes

    async def drop(self, key: str) -> None:
        """Forget a letter."""
        if not await self._letters.close(_parse(key)):
            raise NotFoundError(f"There is no open dead letter of {key}.")

    async def _replay(self, keys: Sequence[DocumentKey]) -> Sequence[ReplayOutcome]:
        if self._refresh is None:
            raise NotFoundError("This process indexes nothing; replay the letter at the update service.")
        failed = frozenset(await self._refresh.index_now(keys, rewrite=False))
        outcomes = []
        for key in keys:
            letter = await self._letters.get(key) if key in failed else None
            outcomes.append(ReplayOutcome(key=key, closed=key not in failed, cause=letter.cause if letter else None))
        return outcomes


def _parse(key: str) -> DocumentKey:
    try:
        return DocumentKey.parse(key)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error

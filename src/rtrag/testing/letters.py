"""Dead letters for people in memory, for tests of the entry points."""

from collections.abc import Sequence
from dataclasses import replace

from rtrag.application.services import ReplayOutcome
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import NotFoundError
from rtrag.ports.dead_letters import DeadLetter
from rtrag.testing.state import FakeState, now


class FakeLetters:
    """Letters in memory; a replay closes those that a test has marked as mended."""

    def __init__(self, state: FakeState) -> None:
        self._state = state

    async def list(self, *, limit: int, after: str | None) -> Sequence[DeadLetter]:
        self._state.check()
        behind = DocumentKey.parse(after) if after else None
        found = [letter for key, letter in sorted(self._state.letters.items()) if behind is None or key > behind]
        return found[:limit]

    async def count(self) -> int:
        return len(self._state.letters)

    async def show(self, key: str) -> DeadLetter:
        self._state.check()
        return self._letter(key)

    async def replay(self, key: str | None) -> Sequence[ReplayOutcome]:
        self._state.check()
        return [self._replayed(letter) for letter in ([self._letter(key)] if key else [*self._state.letters.values()])]

    async def drop(self, key: str) -> None:
        self._state.check()
        del self._state.letters[self._letter(key).key]

    def _replayed(self, letter: DeadLetter) -> ReplayOutcome:
        if letter.key in self._state.mended:
            del self._state.letters[letter.key]
            return ReplayOutcome(key=letter.key, closed=True, cause=None)
        self._state.letters[letter.key] = replace(letter, attempts=letter.attempts + 1, last_failed=now())
        return ReplayOutcome(key=letter.key, closed=False, cause=letter.cause)

    def _letter(self, key: str) -> DeadLetter:
        letter = self._state.letters.get(DocumentKey.parse(key))
        if letter is None:
            raise NotFoundError(f"There is no open dead letter of {key}.")
        return letter

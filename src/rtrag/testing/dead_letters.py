"""Dead letters in a dictionary."""

from collections.abc import Sequence
from dataclasses import replace

from rtrag.domain.document import DocumentKey
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter


class ListDeadLetters:
    """Port DeadLetters, gone with the process."""

    def __init__(self) -> None:
        self.letters: dict[DocumentKey, DeadLetter] = {}

    @property
    def trouble(self) -> str | None:
        """See the port: nobody else writes them."""
        return None

    async def put(self, letter: DeadLetter) -> None:
        standing = self.letters.get(letter.key)
        if standing is not None:
            left_over = standing.position.epoch > letter.position.epoch
            newest = letter if left_over or letter.position >= standing.position else standing
            letter = replace(
                newest,
                attempts=standing.attempts + letter.attempts,
                first_failed=standing.first_failed,
                last_failed=letter.last_failed,
            )
        self.letters[letter.key] = letter

    async def get(self, key: DocumentKey) -> DeadLetter | None:
        return self.letters.get(key)

    async def open_keys(self, keys: Sequence[DocumentKey]) -> frozenset[DocumentKey]:
        return frozenset(key for key in keys if key in self.letters)

    async def list(self, *, limit: int = 100, after: DocumentKey | None = None) -> Sequence[DeadLetter]:
        ordered = [self.letters[key] for key in sorted(self.letters) if after is None or key > after]
        return tuple(ordered[:limit])

    async def close(self, key: DocumentKey, *, at_or_below: Position | None = None) -> bool:
        letter = self.letters.get(key)
        if letter is None or (
            at_or_below is not None and at_or_below < letter.position and letter.position.epoch <= at_or_below.epoch
        ):
            return False
        del self.letters[key]
        return True

    async def count(self) -> int:
        return len(self.letters)

"""Changes that could not be processed, kept until they are mended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rtrag.domain.document import DocumentKey, Json
from rtrag.domain.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A change that failed: at most one open letter a document, the newest.

    ``payload`` is for diagnosis alone: a replay reads the row as it is now.
    """

    key: DocumentKey
    position: Position
    cause: str
    attempts: int
    payload: Mapping[str, Json]
    first_failed: datetime
    last_failed: datetime


class DeadLetters(Protocol):
    """A durable set of open letters by document key."""

    @property
    def trouble(self) -> str | None:
        """Why letters of other processes may be missing at the moment, in words; None as a rule."""
        ...

    async def put(self, letter: DeadLetter) -> None:
        """Keep a letter, durably, before returning. An open one of the document is replaced: ``attempts`` add
        up and ``first_failed`` stays.
        """
        ...

    async def get(self, key: DocumentKey) -> DeadLetter | None:
        """The open letter of a document, None if there is none."""
        ...

    async def open_keys(self, keys: Sequence[DocumentKey]) -> frozenset[DocumentKey]:
        """Which of these documents have an open letter."""
        ...

    async def list(self, *, limit: int = 100, after: DocumentKey | None = None) -> Sequence[DeadLetter]:
        """Open letters in key order."""
        ...

    async def close(self, key: DocumentKey, *, at_or_below: Position | None = None) -> bool:
        """Remove the document's letter; False if there was none.

        With ``at_or_below`` a letter of a later position stays, unless it is of a later epoch: those are left over
        from an index that is gone.
        """
        ...

    async def count(self) -> int:
        """How many are open."""
        ...

"""Freshness tokens: what a query has to reflect, and how current an answer is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from rtrag.domain.document import DocumentKey
from rtrag.domain.position import format_lsn, parse_lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessToken:
    """A position that a query must have passed.

    With a key it is satisfied when that document's manifest stands at or above ``lsn``, in any process; without one
    when everything committed at or before ``lsn`` is visible. Text forms: ``public.documents/doc-1@16/B374D848``
    and ``16/B374D848``.
    """

    lsn: int
    key: DocumentKey | None = None

    def __str__(self) -> str:
        return f"{self.key}@{format_lsn(self.lsn)}" if self.key else format_lsn(self.lsn)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``str()`` wrote; ValueError if it is not a token."""
        key, separator, lsn = text.rpartition("@")
        return cls(lsn=parse_lsn(lsn), key=DocumentKey.parse(key) if separator else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """What an answer reflects.

    Attributes:
        epoch, lsn: everything committed at or before this position is in the answer.
        commit_time: of the newest transaction in it, None before the first one.
        lag_ms: how long ago it was last known that nothing newer was committed; -1 before that was ever known.
        stale_reason: why the index as a whole may be behind (history lost, a copy still running), else None.
    """

    epoch: int
    lsn: int
    commit_time: datetime | None
    lag_ms: float
    stale_reason: str | None = None

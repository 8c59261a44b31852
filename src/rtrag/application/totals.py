"""Counters since start, kept by whoever does the work and shown by the status."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

TotalName: TypeAlias = Literal[
    "events",
    "documents",
    "obsolete",
    "copied",
    "batches",
    "embedded_chunks",
    "embedded_characters",
    "embedded_characters_updates",
    "rows_read",
    "retries",
    "dead_letters",
    "flushes",
    "reconnects",
    "queries",
    "memoised_answers",
]


class Totals:
    """Named counters that only grow."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: TotalName, amount: int = 1) -> None:
        """Count something."""
        self._counts[name] += amount

    def snapshot(self) -> Mapping[str, int]:
        """The counts so far; what never happened is 0."""
        return {name: self._counts[name] for name in get_args(TotalName)}

"""The open letters as the records of the topic tell them. No I/O.

A view depends on the records that are left and their order alone, so all processes agree, whenever they began to read
and whatever compaction has removed. A document may have several records: of workers that wrote at the same time, or
of a worker that was killed before it closed those that a newer one stands for.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rtrag.adapters.kafka.letter_records import Entry, LetterRecord
from rtrag.domain.document import DocumentKey
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter


@dataclass(frozen=True, slots=True)
class Replacement:
    """What to write for a letter, and the positions to close once it is kept: the record stands for them."""

    record: LetterRecord
    positions: Sequence[Position]


@dataclass(frozen=True, slots=True)
class Closing:
    """The positions to close, in this order, and whether the document is without a letter then and was not before."""

    positions: Sequence[Position]
    complete: bool


@dataclass(frozen=True, slots=True)
class _Standing:
    """A record that is not closed, and where it stands in the topic."""

    offset: int
    record: LetterRecord

    @property
    def letter(self) -> DeadLetter:
        return self.record.letter


class LetterView:
    """Open letters by document, in memory: as many as are open."""

    def __init__(self) -> None:
        self._documents: dict[DocumentKey, dict[Position, _Standing]] = {}
        self._order: list[DocumentKey] | None = None  # made by the first who asks for pages
        self._end = 0

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take records in, in the order of their offsets."""
        for entry in entries:
            self._end = entry.offset + 1
            if entry.record is None:
                self._close(entry.key, entry.position)
                continue
            if entry.key not in self._documents:
                self._documents[entry.key] = {}
                if self._order is not None:
                    insort(self._order, entry.key, key=_sortable)
            self._documents[entry.key][entry.position] = _Standing(entry.offset, entry.record)

    def __len__(self) -> int:
        """How many documents have an open letter."""
        return len(self._documents)

    def __contains__(self, key: DocumentKey) -> bool:
        return key in self._documents

    def get(self, key: DocumentKey) -> DeadLetter | None:
        """The open letter of a document: the newest position, attempts added up, None if there is none."""
        counted = self._counted(key)
        if not counted:
            return None
        newest = max(counted, key=lambda each: each.letter.position).letter
        return newest if len(counted) == 1 else _added(newest, counted)

    def page(self, limit: int, after: DocumentKey | None) -> Sequence[DeadLetter]:
        """Open letters in key order."""
        if self._order is None:
            self._order = sorted(self._documents, key=_sortable)
        start = 0 if after is None else bisect_right(self._order, _sortable(after), key=_sortable)
        return tuple(
            letter for key in islice(self._order, start, start + limit) if (letter := self.get(key)) is not None
        )

    def replacement(self, letter: DeadLetter) -> Replacement:
        """What keeping a letter takes, beside the letters of the document that are open."""
        below = [each for each in self._counted(letter.key) if each.letter.position <= letter.position]
        record = LetterRecord(letter=_added(letter, below, letter.attempts), counts_below=self._end)
        lower = sorted(position for position in self._documents.get(letter.key, ()) if position < letter.position)
        return Replacement(record, tuple(lower))

    def closing(self, key: DocumentKey, at_or_below: Position | None) -> Closing:
        """What closing a document's letter takes; see the port. The newest record is the last to go."""
        positions = sorted(self._documents.get(key, ()))
        if at_or_below is not None:
            ours = [position for position in positions if position.epoch <= at_or_below.epoch]
            if ours and ours[-1] > at_or_below:
                return Closing(tuple(positions[len(ours) :]), complete=False)
        return Closing(tuple(positions), complete=bool(positions))

    def _counted(self, key: DocumentKey) -> Sequence[_Standing]:
        """The document's records, without those that another one stands for."""
        standing = self._documents.get(key, {}).values()
        return [each for each in standing if not any(_stands_for(other, each) for other in standing)]

    def _close(self, key: DocumentKey, position: Position) -> None:
        records = self._documents.get(key, {})
        if records.pop(position, None) is None or records:
            return
        del self._documents[key]
        if self._order is not None:
            del self._order[bisect_left(self._order, _sortable(key), key=_sortable)]


def _stands_for(newer: _Standing, older: _Standing) -> bool:
    return older.letter.position < newer.letter.position and older.offset < newer.record.counts_below


def _added(letter: DeadLetter, others: Sequence[_Standing], attempts: int = 0) -> DeadLetter:
    """The letter with the attempts and times of others."""
    return replace(
        letter,
        attempts=attempts + sum(each.letter.attempts for each in others),
        first_failed=min([letter.first_failed, *(each.letter.first_failed for each in others)]),
        last_failed=max([letter.last_failed, *(each.letter.last_failed for each in others)]),
    )


def _sortable(key: DocumentKey) -> tuple[str, tuple[str, ...]]:
    """As keys are ordered, and several times as fast."""
    return key.table, key.values

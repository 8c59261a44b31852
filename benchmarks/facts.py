"""Questions whose right answer changes with the edits: whether a result shows the new value and not the old one."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.history import Shown, normalized
from benchmarks.streams import Event, Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class FactCheck:
    """A question to ask now, and how its answer has changed.

    ``value`` is None where the document no longer says; ``previous`` is None where it did not say before, or said
    the same.
    """

    question: str
    field: str
    value: str | None
    previous: str | None
    id: str

    def holds(self, shown: Iterable[Shown]) -> bool:
        """Whether the right document is shown with the new value, and never with the previous one."""
        values = {value for piece in shown if piece.id == self.id for value in field_values(self.field, piece.text)}
        right = self.value in values if self.value is not None else not values
        return right and (self.previous is None or self.previous not in values)


def field_values(field: str, text: str) -> set[str]:
    """The values of a header field (``Field: value``, continued by indented lines) in a text, normalized."""
    pattern = rf"(?m)^{re.escape(field)}:[ \t]*(.*(?:\n[ \t]+.*)*)"
    return {normalized(match.group(1)) for match in re.finditer(pattern, text)}


def checks_at_start(facts: Sequence[Fact]) -> list[FactCheck]:
    """What to ask once the start documents are there: the answers before the first event."""
    return [_check(fact, index) for fact in facts for index, entry in enumerate(fact.history) if entry.seq == 0]


class FactSchedule:
    """The questions by the event after which their answer changes."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._by_event: dict[int, list[tuple[Fact, int]]] = {}
        for fact in facts:
            for index, entry in enumerate(fact.history):
                if entry.seq > 0:
                    self._by_event.setdefault(entry.seq, []).append((fact, index))

    def after(self, events: Sequence[Event]) -> list[FactCheck]:
        """What to ask after a commit: each question that it changed, with the answer as it leaves it."""
        last: dict[str, tuple[Fact, int]] = {}
        for event in events:
            for fact, index in self._by_event.get(event.seq, ()):
                last[fact.qid] = (fact, index)
        return [_check(fact, index) for fact, index in last.values()]


def _check(fact: Fact, index: int) -> FactCheck:
    entry = fact.history[index]
    before = fact.history[index - 1].value if index else None
    return FactCheck(
        question=fact.question,
        field=fact.field,
        value=entry.value,
        previous=before if before != entry.value else None,
        id=entry.id,
    )

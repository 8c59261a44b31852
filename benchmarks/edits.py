"""Made-up edits without an end: updates, renames, inserts and deletes, the same for the same seed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from random import Random

from benchmarks.streams import Event, Operation, StartDocument

PARAGRAPHS = 4
_TOPICS = ("kestrels", "lighthouses", "glaciers", "violins", "harbours", "saffron", "tramways", "lichens")
_TIME = datetime(2024, 1, 1, tzinfo=UTC)


class Edits:
    """Half of the documents stay for good, each with a sentence that is never changed; the others come and go."""

    def __init__(self, documents: int, seed: int) -> None:
        self._random = Random(seed)
        self._number = 0
        self._lasting = [f"lasting-{number}" for number in range(documents // 2)]
        self._passing = [f"passing-{number}" for number in range(documents - len(self._lasting))]
        self._texts = {name: self._new_text(name) for name in (*self._lasting, *self._passing)}

    def start(self) -> Iterator[StartDocument]:
        """The documents before the first edit."""
        for name, paragraphs in self._texts.items():
            yield StartDocument(id=name, title=f"On {name}", content="\n\n".join(paragraphs))

    def lasting_sentences(self) -> Sequence[str]:
        """A sentence of each document that stays, in every version of it."""
        return [self._texts[name][0] for name in self._lasting]

    def commits(self) -> Iterator[Sequence[Event]]:
        """Transactions, some of several edits."""
        while True:
            yield [self._edit() for _ in range(self._random.choice((1, 1, 1, 3)))]

    def _edit(self) -> Event:
        self._number += 1
        kind = self._random.random()
        if kind < 0.05:
            return self._delete()
        if kind < 0.1:
            return self._insert()
        if kind < 0.15:
            return self._rename()
        name = self._random.choice((*self._lasting, *self._passing))
        paragraphs = self._texts[name]
        paragraphs[self._random.randrange(1, len(paragraphs))] = self._paragraph(name)
        return self._event("update", name)

    def _insert(self) -> Event:
        name = f"passing-{self._number}-new"
        self._passing.append(name)
        self._texts[name] = self._new_text(name)
        return self._event("insert", name)

    def _delete(self) -> Event:
        if len(self._passing) < 2:
            return self._insert()
        name = self._passing.pop(self._random.randrange(len(self._passing)))
        event = self._event("delete", name)
        del self._texts[name]
        return event

    def _rename(self) -> Event:
        place = self._random.randrange(len(self._passing))
        old, new = self._passing[place], f"passing-{self._number}-renamed"
        self._passing[place] = new
        self._texts[new] = self._texts.pop(old)
        return self._event("rename", new, old)

    def _event(self, operation: Operation, name: str, old: str | None = None) -> Event:
        return Event(
            seq=self._number,
            commit=str(self._number),
            time=_TIME,
            operation=operation,
            id=name,
            old_id=old,
            title=f"On {name}",
            content=None if operation == "delete" else "\n\n".join(self._texts[name]),
        )

    def _new_text(self, name: str) -> list[str]:
        first = f"The document {name} was begun when nobody had asked for it, and this sentence of it stays."
        return [first, *(self._paragraph(name) for _ in range(PARAGRAPHS - 1))]

    def _paragraph(self, name: str) -> str:
        one, other = self._random.sample(_TOPICS, 2)
        note = self._random.randrange(10**9)
        return (
            f"Note {note} of {name} compares {one} with {other} at some length, and finds {one} the stranger of them."
        )

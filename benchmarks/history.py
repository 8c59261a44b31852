"""The history of versions that a replay writes, and the check of every result against it.

The benchmark is the only writer, so it knows each version of each document, the transaction that began it and the
one that ended it. A result is judged by that alone, never by what the system says of itself, but for one thing: the
position up to which an answer claims to reflect everything (``as_of``) is a claim that the answer is held to.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["torn", "stale", "missing"]


@dataclass(slots=True, kw_only=True)
class Stint:
    """The time during which a version of a document was the current one, in numbers of transactions.

    ``ended`` is the transaction that replaced, renamed or deleted it, None while it stands.
    """

    id: str
    version: int
    content: str
    began: int
    ended: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a transaction does to one document: ``content`` and ``version`` after it, None for a delete."""

    id: str
    version: int | None
    content: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A piece of a document in a result: a source, or the quotation of a citation (``ordinal`` None)."""

    id: str
    version: int | None
    text: str
    ordinal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A result, and what was certain when it was asked for and when it had come.

    Attributes:
        floor: newest transaction that was certain to be visible when the request was sent, or that its token
            named; 0 is the first copy, -1 when nothing is certain.
        begun: newest transaction whose commit may have been sent before the response had come.
        as_of: LSN up to which the answer claims to reflect everything.
        token: LSN that the request carried, None without.
        expected: a sentence that must be there if the documents hold it all the while, None for none.
    """

    query: str
    floor: int
    begun: int
    as_of: int
    shown: tuple[Shown, ...]
    token: int | None = None
    expected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something a result must not be, with the evidence in words."""

    kind: Kind
    detail: str


@dataclass(slots=True)
class History:
    """Versions by document. Safe to use from several threads.

    A transaction is announced by ``begin`` before its commit is sent and closed by ``seal`` after the commit
    returned, or by ``abort`` when it is known not to have happened. Judge a result only when ``sealed`` has
    reached its ``begun``: before that, the end of a version is not known.
    """

    begun: int = -1
    sealed: int = -1
    visible: int = -1
    _stints: defaultdict[str, list[Stint]] = field(default_factory=lambda: defaultdict(list))
    _lsns: dict[int, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def begin(self, changes: Sequence[Change]) -> int:
        """Announce a transaction; its number. Changes of one document are given in order."""
        with self._lock:
            number = self.begun + 1
            for change in changes:
                stints = self._stints[change.id]
                if stints and stints[-1].ended is None:
                    stints[-1].ended = number
                if change.content is not None and change.version is not None:
                    stints.append(Stint(id=change.id, version=change.version, content=change.content, began=number))
            self.begun = number
            return number

    def seal(self, number: int, lsn: int) -> None:
        """The commit returned, and its LSN is at most this."""
        with self._lock:
            self._lsns[number] = lsn
            self.sealed = number

    def abort(self, number: int) -> None:
        """The newest transaction did not happen: no result may ever show what it wrote."""
        with self._lock:
            if number != self.begun or number <= self.sealed:
                raise ValueError(f"only the newest open transaction can be aborted, not {number}")
            for stints in self._stints.values():
                while stints and stints[-1].began == number:
                    stints.pop()
                if stints and stints[-1].ended == number:
                    stints[-1].ended = None
            self.begun = number - 1

    def last_sealed(self) -> tuple[int, int]:
        """Number and LSN of the newest transaction whose commit returned."""
        with self._lock:
            return self.sealed, self._lsns[self.sealed]

    def confirm_visible(self, number: int) -> None:
        """A wait for this transaction's token ended: from now on every result must reflect it."""
        self.visible = max(self.visible, number)

    def forget_visible(self) -> None:
        """The process was killed: what was visible may have to be replayed, so only ``as_of`` and tokens bind."""
        self.visible = -1

    def current(self) -> Iterator[Stint]:
        """The versions that stand now."""
        with self._lock:
            return iter([stints[-1] for stints in self._stints.values() if stints and stints[-1].ended is None])

    def check(self, seen: Observation) -> list[Violation]:
        """Everything that is wrong with a result; empty if nothing is."""
        if seen.begun > self.sealed:
            raise ValueError(f"transaction {seen.begun} is not sealed yet: its result cannot be judged")
        by_document: defaultdict[str, list[Shown]] = defaultdict(list)
        for shown in seen.shown:
            by_document[shown.id].append(shown)
        with self._lock:
            found = [problem for group in by_document.values() if (problem := self._judge(seen, group))]
            if seen.token is not None and seen.as_of < seen.token:
                found.append(Violation(kind="stale", detail=f"as of {seen.as_of:X}, asked for {seen.token:X}"))
            if seen.expected is not None and self._lacks(seen, by_document, seen.expected):
                found.append(Violation(kind="missing", detail=f"{seen.expected!r} not in the result of {seen.query!r}"))
        return found

    def _judge(self, seen: Observation, group: Sequence[Shown]) -> Violation | None:
        """All pieces of a document must come from one version, and that one must not be superseded."""
        versions = sorted({str(shown.version) for shown in group})
        name = f"{group[0].id} version {' and '.join(versions)}"
        if len(versions) > 1:
            return Violation(kind="torn", detail=f"{name} in one result of {seen.query!r}")
        candidates = [
            stint
            for stint in self._stints.get(group[0].id, ())
            if stint.version == group[0].version and all(shown.text in stint.content for shown in group)
        ]
        if not candidates:
            return Violation(kind="torn", detail=f"{name}: not the text of that version, for {seen.query!r}")
        ends = [stint.ended for stint in candidates]
        if all(end is not None and self._superseded(seen, end) for end in ends):
            return Violation(
                kind="stale",
                detail=f"{name} ended with transaction {ends[-1]}; certain were {seen.floor}, as of {seen.as_of:X}, "
                f"for {seen.query!r}",
            )
        return None

    def _superseded(self, seen: Observation, end: int) -> bool:
        """Whether the result had to reflect the transaction that ended a version."""
        lsn = self._lsns.get(end)
        return end <= seen.floor or (lsn is not None and lsn <= seen.as_of)

    def _lacks(self, seen: Observation, by_document: dict[str, list[Shown]], sentence: str) -> bool:
        """Whether a sentence that stood all the while, from ``floor`` to ``begun``, is not in the result."""
        if any(sentence in text for group in by_document.values() for text in joined(group)):
            return False
        return any(
            stint.began <= seen.floor and (stint.ended is None or stint.ended > seen.begun)
            for stints in self._stints.values()
            for stint in stints
            if sentence in normalized(stint.content)
        )


def normalized(text: str) -> str:
    """Runs of white space as one blank: sentences of the streams are given this way."""
    return " ".join(text.split())


def joined(group: Sequence[Shown]) -> Iterator[str]:
    """The normalized texts of a document's pieces, neighbours joined: a sentence may cross from one to the next."""
    text, last = "", None
    for shown in sorted(group, key=lambda piece: -1 if piece.ordinal is None else piece.ordinal):
        if shown.ordinal is not None and last is not None and shown.ordinal == last + 1:
            text += shown.text
        elif shown.ordinal is None or shown.ordinal != last:
            yield normalized(text)
            text = shown.text
        last = shown.ordinal
    yield normalized(text)


@dataclass(slots=True)
class Tally:
    """What was found over a whole run; the first few violations are kept in words."""

    reads: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    examples: list[Violation] = field(default_factory=list)

    def add(self, violations: Sequence[Violation]) -> None:
        """Count one result."""
        self.reads += 1
        self.counts.update(violation.kind for violation in violations)
        self.examples.extend(violations[: max(0, 20 - len(self.examples))])

    def merge(self, other: "Tally") -> None:
        """Add another tally to this one."""
        self.reads += other.reads
        self.counts.update(other.counts)
        self.examples.extend(other.examples[: max(0, 20 - len(self.examples))])

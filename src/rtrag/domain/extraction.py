"""Choosing the sentences of passages that answer a question, by shared words, cues and similarity.

Two steps, so that only a few sentences need embedding: ``shortlist`` by words, then ``choose`` with similarities.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from rtrag.domain.prompt import ContextPassage
from rtrag.domain.quotable import Quotable, quotables

_WORD = re.compile(r"\w+")
_SPACED = bytes(code if _WORD.match(chr(code)) else 32 for code in range(128)) + bytes(128)
_STOP_TEXT = (
    "a about after all also am an and any are as at be because been being between both but by called can could "
    "currently describe did do does doing done explain for from had has have he her here him his how i if in into is "
    "it its itself just kind many me more most much my name named no nor not of on one only or other our out over "
    "own please same she should so some such tell than that the their them then there these they this those through "
    "to too under until up us very was we were what when where which while who whom whose why will with would you "
    "your"
)
_STOP_WORDS = frozenset(_STOP_TEXT.split())
_SUFFIXES = ("ations", "ation", "ingly", "edly", "ings", "ions", "ing", "ion", "ies", "ied", "ers", "est", "ed", "er",
             "es", "ly", "al", "s", "e", "y")  # fmt: skip
_NUMBER = re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|hundred|thousand|million)s?\b")
_DATE = re.compile(
    r"\b1\d{3}\b|\b20\d{2}\b|\b(?:jan|feb|mar|apr|may|june|july|aug|sep|oct|nov|dec)|century|\b\d+s\b", re.IGNORECASE
)
_NAME = re.compile(r"(?<=[a-z,;(\"'] )[\"'(]*[A-Z][a-z]")
_CUES: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade)"), _DATE),
    (re.compile(r"\bhow (?:many|much|old|long|far|large|big|tall|high|often)\b|\bwhat (?:percent|number)"), _NUMBER),
    (re.compile(r"\bwho(?:se|m)?\b|\bwhere\b|\b(?:what|which) (?:city|country|person|company|state)"), _NAME),
)

_STEM_LENGTH = 3  # letters that an ending leaves at least

SHORTLIST = 4
MAX_SENTENCES = 3

_CONTEXT_SHARE = 0.5
_FIELD_BONUS = 1.0
_CUE_BONUS = 0.12
_PAIR_BONUS = 0.25
_RANK_PENALTY = 0.03
_SIMILARITY_WEIGHT = 0.6
_FURTHER_FROM = 0.65  # share of the best score that a further sentence needs
# Coverage and similarity of the best sentence that make an answer. Of SQuAD's questions 3% fall below it, of claims
# about biology asked of SQuAD's paragraphs 90%.
_ENOUGH = 0.65
_ENOUGH_WORDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A sentence of a passage that may answer the question.

    ``score`` is by words alone; ``coverage`` is the share of the question's weight that the sentence and what it
    stands under have in common.
    """

    number: int
    text: str
    score: float
    coverage: float


class _Unit(NamedTuple):
    """A unit that may answer. ``marks`` has the bit of each of its words, ``own`` and ``around`` are such bits joined:
    of the unit, and of what its passage stands under.
    """

    rank: int
    quotable: Quotable
    marks: Sequence[int]
    own: int
    around: int


def shortlist(question: str, passages: Sequence[ContextPassage], limit: int = SHORTLIST) -> tuple[Candidate, ...]:
    """The sentences most likely to answer by their words, best first; ties keep the order of the text."""
    asked = _Asked(question)
    units = _units(asked, passages)
    scoring = _Scoring(asked, [unit.own for unit in units])
    scored = [(*scoring.of(unit), unit) for unit in units]
    scored.sort(key=itemgetter(0), reverse=True)
    return tuple(
        [
            Candidate(number=unit.rank, text=unit.quotable.text, score=score, coverage=coverage)
            for score, coverage, unit in scored[:limit]
        ]
    )


def _units(asked: "_Asked", passages: Sequence[ContextPassage]) -> list[_Unit]:
    found = [
        (place, unit)
        for place, passage in enumerate(passages)
        for unit in quotables(passage.text)
        if not unit.text.startswith("#")  # a heading answers nothing by itself
    ]
    places = [" ".join((passage.title, *passage.heading_path)) for passage in passages]
    marks = asked.marks([*places, *(unit.text for _, unit in found)])
    joined = [sum(set(each)) for each in marks]
    first = len(places)
    return [
        _Unit(passages[place].number, unit, marks[number], joined[number], joined[place])
        for number, (place, unit) in enumerate(found, first)
    ]


def choose(candidates: Sequence[Candidate], similarities: Sequence[float] | None) -> tuple[Candidate, ...]:
    """The one to three candidates that answer best, best first; none when nothing answers.

    ``similarities`` are cosines of the question and each candidate, in order; None leaves the words to decide.
    """
    known = [0.0] * len(candidates) if similarities is None else [max(0.0, value) for value in similarities]
    enough = _ENOUGH_WORDS if similarities is None else _ENOUGH
    ranked = sorted(
        (
            (candidate.score + _SIMILARITY_WEIGHT * similarity, candidate.coverage + similarity, candidate)
            for candidate, similarity in zip(candidates, known, strict=True)
        ),
        key=lambda entry: -entry[0],
    )
    if not ranked or ranked[0][1] < enough:
        return ()
    best = ranked[0][0]
    chosen: dict[str, Candidate] = {}
    for score, _, candidate in ranked:
        if len(chosen) == MAX_SENTENCES or score < best * _FURTHER_FROM:
            break
        chosen.setdefault(candidate.text, candidate)
    return tuple(chosen.values())


class _Asked:
    """A question's content words without common endings, each a bit, and where they stand in texts."""

    def __init__(self, question: str) -> None:
        words = _content(question)
        stems = dict.fromkeys(map(_stem, words))
        self._bits = {stem: 1 << place for place, stem in enumerate(stems)}
        self._starts = frozenset([word[:_STEM_LENGTH] for word in words])
        lowered = question.lower()
        self.cues = [answer for cue, answer in _CUES if cue.search(lowered)]

    def __len__(self) -> int:
        return len(self._bits)

    def marks(self, texts: Sequence[str]) -> list[list[int]]:
        """For each word of each text its bit, 0 where it was not asked for."""
        words = [_words(text.lower()) for text in texts]
        bits, starts = self._bits, self._starts
        found = {word: bits.get(_stem(word), 0) for word in set().union(*words) if word[:_STEM_LENGTH] in starts}
        return [[found.get(word, 0) for word in each] for each in words]

    def content_marks(self, text: str) -> Sequence[int]:
        """The same for those words of a text that carry content."""
        return [self._bits.get(_stem(word), 0) for word in _content(text)]


class _Scoring:
    """Scores of units for one question. Rare words of the passages weigh more."""

    def __init__(self, asked: _Asked, owns: Sequence[int]) -> None:
        counts = Counter(owns)
        self._weights = [
            math.log(1.0 + (len(owns) + 1) / (sum(n for own, n in counts.items() if own >> place & 1) + 0.5))
            for place in range(len(asked))
        ]
        self._total = sum(self._weights) or 1.0
        self._asked = asked
        self._weighed: dict[int, float] = {}

    def of(self, unit: _Unit) -> tuple[float, float]:
        """Score and coverage of a unit."""
        own = unit.own
        covered, under = self._weight(own), self._weight(unit.around & ~own)
        score = covered + _CONTEXT_SHARE * under - _RANK_PENALTY * (unit.rank - 1)
        if own:
            score += self._field(unit) + self._hints(unit)
        return score, covered + under

    def _weight(self, bits: int) -> float:
        """Of the words with these bits, as a share of the whole question's."""
        weight = self._weighed.get(bits)
        if weight is None:
            found = [weight for place, weight in enumerate(self._weights) if bits >> place & 1]
            weight = self._weighed[bits] = sum(found) / self._total
        return weight

    def _field(self, unit: _Unit) -> float:
        """A header field whose name is asked for and whose value is news."""
        name = self._asked.content_marks(unit.quotable.field) if unit.quotable.field else ()
        if not name or not all(name) or all(unit.marks[len(name) :]):
            return 0.0
        return _FIELD_BONUS + 0.1 * len(name)

    def _hints(self, unit: _Unit) -> float:
        """Words that stand side by side in the question and in the unit; what the question's form asks for."""
        hints = 0.0
        if unit.own & (unit.own - 1):  # more than one bit
            pairs = {mark for mark, following in pairwise(unit.marks) if mark and following == mark << 1}
            hints += _PAIR_BONUS * len(pairs) / (len(self._asked) - 1)
        if any(answer.search(unit.quotable.text) for answer in self._asked.cues):
            hints += _CUE_BONUS
        return hints


def _content(text: str) -> list[str]:
    """The words that carry content, lowered."""
    return [word for word in _words(text.lower()) if word not in _STOP_WORDS]


def _words(text: str) -> list[str]:
    """Runs of letters, digits and underscores. Plain text is split, in a third of the time that the pattern takes."""
    return text.encode().translate(_SPACED).decode().split() if text.isascii() else _WORD.findall(text)


def _stem(word: str) -> str:
    if not word.endswith(_SUFFIXES):
        return word
    ending = next((s for s in _SUFFIXES if word.endswith(s) and len(word) - len(s) >= _STEM_LENGTH), "")
    return word.removesuffix(ending)

"""Choosing the sentences of passages that answer a question, by shared words, cues and similarity.

Two steps, so that only a few sentences need embedding: ``shortlist`` by words, then ``choose`` with similarities.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rtrag.domain.prompt import ContextPassage
from rtrag.domain.quotable import quotables

_WORD = re.compile(r"\w+")
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


@dataclass(slots=True)
class _Unit:
    """``own`` holds the words asked for that stand in the unit, ``words`` all of them, ``field`` those of its name."""

    passage: ContextPassage
    text: str
    field: tuple[str, ...]
    words: tuple[str, ...]
    own: frozenset[str]


def shortlist(question: str, passages: Sequence[ContextPassage], limit: int = SHORTLIST) -> tuple[Candidate, ...]:
    """The sentences most likely to answer by their words, best first; ties keep the order of the text."""
    stem = _Stems(question)
    asked = tuple(dict.fromkeys(stem.content(question)))
    units = list(_units(passages, frozenset(asked), stem))
    scoring = _Scoring(question, asked, units, stem)
    scored = [(*scoring.of(unit), unit) for unit in units]
    scored.sort(key=lambda entry: -entry[0])
    return tuple(
        Candidate(number=unit.passage.number, text=unit.text, score=score, coverage=coverage)
        for score, coverage, unit in scored[:limit]
    )


def _units(passages: Sequence[ContextPassage], asked: frozenset[str], stem: "_Stems") -> Iterator[_Unit]:
    for passage in passages:
        for unit in quotables(passage.text):
            if unit.text.startswith("#"):  # a heading answers nothing by itself
                continue
            words = stem.all(unit.text)
            field = stem.content(unit.field) if unit.field else ()
            yield _Unit(passage, unit.text, field, words, asked.intersection(words))


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


class _Scoring:
    """Scores of units for one question. Rare words of the passages weigh more."""

    def __init__(self, question: str, asked: tuple[str, ...], units: Sequence[_Unit], stem: "_Stems") -> None:
        counts = Counter(word for unit in units for word in unit.own)
        self._weights = {word: math.log(1.0 + (len(units) + 1) / (counts[word] + 0.5)) for word in asked}
        self._total = sum(self._weights.values()) or 1.0
        self._asked = frozenset(asked)
        self._pairs = frozenset(pairwise(asked))
        lowered = question.lower()
        self._cues = [answer for cue, answer in _CUES if cue.search(lowered)]
        self._stem = stem
        self._around: dict[int, tuple[frozenset[str], float]] = {}

    def of(self, unit: _Unit) -> tuple[float, float]:
        """Score and coverage of a unit."""
        around, under = self._context(unit.passage)
        covered = hints = 0.0
        if unit.own:
            covered = self._weight(unit.own)
            under = self._weight(around - unit.own)
            hints = self._field(unit) + self._hints(unit)
        score = covered + _CONTEXT_SHARE * under - _RANK_PENALTY * (unit.passage.number - 1) + hints
        return score, covered + under

    def _weight(self, words: Iterable[str]) -> float:
        return sum([self._weights[word] for word in words]) / self._total

    def _context(self, passage: ContextPassage) -> tuple[frozenset[str], float]:
        """The words asked for in what a passage stands under, and their weight."""
        around = self._around.get(passage.number)
        if around is None:
            words = self._asked.intersection(self._stem.all(" ".join((passage.title, *passage.heading_path))))
            around = self._around[passage.number] = (words, self._weight(words))
        return around

    def _field(self, unit: _Unit) -> float:
        """A header field whose name is asked for and whose value is news."""
        if not unit.field or not self._asked.issuperset(unit.field):
            return 0.0
        news = any(word not in self._asked for word in unit.words[len(unit.field) :])
        return _FIELD_BONUS + 0.1 * len(unit.field) if news else 0.0

    def _hints(self, unit: _Unit) -> float:
        hints = 0.0
        if len(unit.own) > 1:
            hints += _PAIR_BONUS * len(self._pairs.intersection(pairwise(unit.words))) / len(self._pairs)
        if any(answer.search(unit.text) for answer in self._cues):
            hints += _CUE_BONUS
        return hints


class _Stems:
    """Words of texts, lowered and without common endings, each worked out once; what cannot be asked for is ``""``."""

    def __init__(self, question: str) -> None:
        self._known: dict[str, str] = {}
        self._starts = frozenset(
            word[:_STEM_LENGTH] for word in _WORD.findall(question.lower()) if word not in _STOP_WORDS
        )

    def all(self, text: str) -> tuple[str, ...]:
        """All words of a text; none where no word can be one that was asked for."""
        starts, known, lowered = self._starts, self._known, text.lower()
        if not any(map(lowered.__contains__, starts)):
            return ()
        return tuple(
            [
                (known.get(word) or self._learn(word)) if word[:_STEM_LENGTH] in starts else ""
                for word in _WORD.findall(lowered)
            ]
        )

    def content(self, text: str) -> tuple[str, ...]:
        """Those words that carry content."""
        return tuple([self._learn(word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS])

    def _learn(self, word: str) -> str:
        ending = next((s for s in _SUFFIXES if word.endswith(s) and len(word) - len(s) >= _STEM_LENGTH), "")
        stem = self._known[word] = word.removesuffix(ending)
        return stem

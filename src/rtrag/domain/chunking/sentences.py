"""Where a long text may be cut: after sentences, else at lines, else between words, else anywhere.

Each function returns the pieces of a text; joined, they are the text. Every expression is free of backtracking.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

Cutter: TypeAlias = Callable[[str], list[str]]

_SENTENCE_END = re.compile(r"[.!?][\"')\]*_`]*+\s++|[。！？]\s*+")
_LINE_END = re.compile(r"\n|\r(?!\n)")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*+\r?\n)++")
_BEFORE_ITEM = re.compile(r"\n(?=[ \t]*+(?:[-*+]|\d{1,9}[.)])[ \t])")
_WORD_END = re.compile(r"\s++")


def sentences(text: str) -> list[str]:
    """Pieces that end after a sentence and the white space behind it."""
    return _cut(text, _SENTENCE_END)


def lines(text: str) -> list[str]:
    """Pieces that end with a line."""
    return _cut(text, _LINE_END)


def paragraphs(text: str) -> list[str]:
    """Pieces that end with blank lines."""
    return _cut(text, _BLANK_LINES)


def items(text: str) -> list[str]:
    """Pieces that end before a list item, nested ones included."""
    return _cut(text, _BEFORE_ITEM)


def words(text: str, limit: int) -> list[str]:
    """Single words with the white space behind them; a longer one is cut every ``limit`` characters."""
    pieces: list[str] = []
    for word in _cut(text, _WORD_END):
        inked = len(word.rstrip())
        starts = range(0, max(inked, 1), limit)
        pieces.extend(word[start : start + limit] for start in starts[:-1])
        pieces.append(word[starts[-1] :])
    return pieces


def _cut(text: str, end: re.Pattern[str]) -> list[str]:
    pieces = []
    start = 0
    for match in end.finditer(text):
        pieces.append(text[start : match.end()])
        start = match.end()
    if start < len(text):
        pieces.append(text[start:])
    return pieces

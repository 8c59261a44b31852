"""Blocks of reStructuredText: underlined and overlined titles, literal blocks, directives, lists, tables.

Section levels come from the order in which the title styles first appear, as in docutils.
"""

import re
from collections.abc import Sequence

from rtrag.domain.chunking.blocks import (
    Block,
    Recognized,
    indent_of,
    literal_end,
    scan,
    skip_blank,
    text_kind,
)

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*+\s*+$")
_ITEM = re.compile(r"(?:[-*+•]|\(?(?:\d{1,9}|#|[A-Za-z])[.)])\s")
_EXPLICIT = re.compile(r"\.\.\s")
_MIN_ADORNMENT = 4


def blocks(content: str) -> list[Block]:
    """The blocks of a reStructuredText without its header fields."""
    styles: dict[str, int] = {}

    def recognize(lines: Sequence[str], position: int) -> Recognized:
        return _title(lines, position, styles) or _body(lines, position)

    return scan(content.splitlines(keepends=True), recognize)


def _title(lines: Sequence[str], position: int, styles: dict[str, int]) -> Recognized | None:
    """A title that begins at ``position``, its level by the order of styles (the character, and whether above too)."""
    over = _adornment(lines, position)
    text = position + 1 if over else position
    under = _adornment(lines, text + 1)
    if not under or _adornment(lines, text) or (over and over[0] != under[0]):
        return None
    title = lines[text].rstrip()
    width = min(len(title.strip()), _MIN_ADORNMENT)
    if not title.strip() or len(under) < width or (not over and title[0].isspace()):
        return None
    style = under[0] * 2 if over else under[0]
    level = styles.setdefault(style, len(styles) + 1)
    return Recognized(end=text + 2, kind="heading", level=level, title=title)


def _adornment(lines: Sequence[str], position: int) -> str:
    """The line of one repeated punctuation character at ``position``, empty if there is none."""
    if position >= len(lines) or not _ADORNMENT.match(lines[position]):
        return ""
    return lines[position].rstrip()


def _body(lines: Sequence[str], position: int) -> Recognized:
    line = lines[position]
    if line[0].isspace():
        return Recognized(end=literal_end(lines, position, 1), kind="literal")
    if _EXPLICIT.match(line):
        return Recognized(end=_indented_end(lines, position + 1), kind="literal")
    if _ITEM.match(line):
        return Recognized(end=_indented_end(lines, position + 1), kind="list_item")
    end = position + 1
    while end < len(lines) and lines[end].strip():
        end += 1
    return Recognized(end=end, kind=text_kind(line))


def _indented_end(lines: Sequence[str], position: int) -> int:
    """Over the lines without a gap that are indented, and after a gap as long as they are."""
    end = position
    while end < len(lines) and lines[end].strip() and indent_of(lines[end]):
        end += 1
    if end < len(lines) and lines[end].strip():
        return end
    return max(end, literal_end(lines, skip_blank(lines, end), 1))

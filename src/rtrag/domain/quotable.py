"""The units of a passage that can be quoted: sentences, list items, table rows, header fields.

Each is a slice of the passage, without the white space around it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from string import ascii_uppercase
from typing import NamedTuple

_FIELD = re.compile(r"[ \t]*+:?([A-Za-z][\w .\-]{0,40}):(?:[ \t]++(.*))?$")
_ITEM = re.compile(r"[ \t]*+(?:[-*+•]|\d{1,3}[.)]|#\.)[ \t]++\S|[ \t]*+\|")
_HEADING = re.compile(r"[ \t]*+#{1,6}[ \t]")
_RULE = re.compile(r"[\s=\-~^*+#|:.`_\"']*+$")
_LINE = re.compile(r"[^\n]*+\n?")
# Begins with one set of characters, which the engine looks for several times as fast as for alternatives.
_SENTENCE_END = re.compile(
    r"[.!?。！？](?:(?<=[.!?])[.!?]*+[\"')\]*_`”’]*+\s++(?=[\"'(\[“‘*_`]*+[^\sa-z])|(?<=[。！？])\s*+)"
)
_ABBREVIATION_TEXT = (
    "Dr dr Mr mr Mrs mrs Ms ms St st Prof prof Vs vs No no Fig fig Figs figs Eq eq Cf cf Al al e.g i.e U.S approx ca "
    "Jr jr Sr sr Gen Col Lt Rev Vol Inc Ltd Co"
)
_ABBREVIATIONS = frozenset(_ABBREVIATION_TEXT.split()) | frozenset(ascii_uppercase)
_LONGEST_ABBREVIATION = max(map(len, _ABBREVIATIONS))
_MAX_QUOTE = 600


class Quotable(NamedTuple):
    """A unit of a passage. ``field`` is the name of a header field, None for everything else."""

    text: str
    field: str | None = None


@lru_cache(maxsize=4096)
def quotables(text: str) -> tuple[Quotable, ...]:
    """The units of a passage, in order; rules and empty lines are in none, overlong ones are cut between words.

    Those of the passages found lately are remembered: the same ones are found again and again.
    """
    found: list[Quotable] = []
    for block in _blocks(text):
        if _all_fields(block):
            found += [_field(unit) for unit in _joined(block, starts_unit=lambda line: not line[0].isspace())]
        else:
            found += [
                Quotable(part)
                for unit in _joined(block, starts_unit=_starts_unit)
                for sentence in _sentences(unit)
                for part in _within_bound(sentence)
                if part
            ]
    return tuple(found)


def _blocks(text: str) -> Iterator[list[str]]:
    """Runs of lines between empty ones and rules."""
    block: list[str] = []
    for line in _LINE.findall(text):
        if not _RULE.match(line):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _field(unit: str) -> Quotable:
    match = _FIELD.match(unit.partition("\n")[0])
    return Quotable(unit.strip()[:_MAX_QUOTE], match[1] if match else None)


def _all_fields(lines: list[str]) -> bool:
    return not lines[0][0].isspace() and all(line[0].isspace() or _FIELD.match(line) for line in lines)


def _starts_unit(line: str) -> bool:
    return _ITEM.match(line) is not None or _HEADING.match(line) is not None


def _joined(lines: list[str], *, starts_unit: Callable[[str], bool]) -> list[str]:
    units = [lines[0]]
    for line in lines[1:]:
        if starts_unit(line) or _HEADING.match(units[-1]):
            units.append(line)
        else:
            units[-1] += line
    return units


def _sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space around them."""
    found: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if not _is_abbreviated(text, start, match.start()):
            found.append(text[start : match.end()].strip())
            start = match.end()
    found.append(text[start:].strip())
    return found


def _is_abbreviated(text: str, start: int, end: int) -> bool:
    """Whether the word before ``end`` in the sentence from ``start`` on is one that a full stop follows anyway."""
    if text[end] != ".":
        return False
    before = text[max(start, end - _LONGEST_ABBREVIATION - 1) : end].replace("(", " ").replace("[", " ")
    words = before.split()
    return bool(words) and words[-1] in _ABBREVIATIONS


def _within_bound(sentence: str) -> Sequence[str]:
    if len(sentence) <= _MAX_QUOTE:
        return (sentence,)
    parts: list[str] = []
    while len(sentence) > _MAX_QUOTE:
        cut = sentence.rfind(" ", 0, _MAX_QUOTE)
        cut = cut if cut > 0 else _MAX_QUOTE
        parts.append(sentence[:cut].rstrip())
        sentence = sentence[cut:].lstrip()
    parts.append(sentence)
    return parts

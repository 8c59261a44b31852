"""The units of a passage that can be quoted: sentences, list items, table rows, header fields.

Each is a slice of the passage, without the white space around it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

_FIELD = re.compile(r"[ \t]*+:?([A-Za-z][\w .\-]{0,40}):(?:[ \t]++(.*))?$")
_ITEM = re.compile(r"[ \t]*+(?:[-*+•]|\d{1,3}[.)]|#\.)[ \t]++\S|[ \t]*+\|")
_HEADING = re.compile(r"[ \t]*+#{1,6}[ \t]")
_RULE = re.compile(r"[\s=\-~^*+#|:.`_\"']*+$")
_LINE = re.compile(r"[^\n]*+\n?")
_SENTENCE_END = re.compile(r"[.!?]++[\"')\]*_`”’]*+\s++(?=[\"'(\[“‘*_`]*+[^\sa-z])|[。！？]\s*+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:[A-Z]|[Dd]r|[Mm]r|[Mm]rs|[Mm]s|[Ss]t|[Pp]rof|[Vv]s|[Nn]o|[Ff]igs?|[Ee]q|[Cc]f|[Aa]l|e\.g|i\.e"
    r"|U\.S|approx|ca|[Jj]r|[Ss]r|Gen|Col|Lt|Rev|Vol|Inc|Ltd|Co)\.[\"')\]]*+\s++$"
)
_MAX_QUOTE = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotable:
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
        found.extend(_of_block(block))
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


def _of_block(lines: list[str]) -> Iterator[Quotable]:
    if _all_fields(lines):
        for unit in _joined(lines, starts_unit=lambda line: not line[0].isspace()):
            match = _FIELD.match(unit.partition("\n")[0])
            yield Quotable(text=unit.strip()[:_MAX_QUOTE], field=match[1] if match else None)
        return
    for unit in _joined(lines, starts_unit=_starts_unit):
        for sentence in _sentences(unit):
            yield from (Quotable(text=part) for part in _within_bound(sentence.strip()) if part)


def _all_fields(lines: list[str]) -> bool:
    return not lines[0][0].isspace() and all(line[0].isspace() or _FIELD.match(line) for line in lines)


def _starts_unit(line: str) -> bool:
    return _ITEM.match(line) is not None or _HEADING.match(line) is not None


def _joined(lines: list[str], *, starts_unit: Callable[[str], bool]) -> Iterator[str]:
    unit = ""
    for line in lines:
        if unit and (starts_unit(line) or _HEADING.match(unit)):
            yield unit
            unit = ""
        unit += line
    if unit:
        yield unit


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text, max(start, match.end() - 24), match.end()):
            continue
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _within_bound(sentence: str) -> Iterator[str]:
    while len(sentence) > _MAX_QUOTE:
        cut = sentence.rfind(" ", 0, _MAX_QUOTE)
        cut = cut if cut > 0 else _MAX_QUOTE
        yield sentence[:cut].rstrip()
        sentence = sentence[cut:].lstrip()
    yield sentence

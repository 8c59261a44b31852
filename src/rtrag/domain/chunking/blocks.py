"""Blocks: the paragraphs, headings, list items, code and tables that a content is made of, in order.

The texts of a content's blocks, joined, are the content. White space between two blocks belongs to the first one,
white space before all of them to the first of all. Everything here looks at each line a bounded number of times.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

BlockKind: TypeAlias = Literal["heading", "paragraph", "list_item", "literal", "table"]

MAX_TITLE_CHARS = 200  # a title is repeated in every chunk below it
_TABLE_LINE = re.compile(r"[|+]|=+ +=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of the content that is best kept whole.

    ``level`` counts from 1 for headings and is 0 otherwise; ``title`` is a heading's text without its marks.
    """

    text: str
    kind: BlockKind
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognized:
    """The lines up to ``end``, exclusive, are one block of this kind."""

    end: int
    kind: BlockKind
    level: int = 0
    title: str = ""


Recognizer: TypeAlias = Callable[[Sequence[str], int], Recognized]


def scan(lines: Sequence[str], recognize: Recognizer) -> list[Block]:
    """Cut lines, which keep their line ends, into blocks.

    ``recognize`` gets the index of a line that is not blank, and takes at least that line.
    """
    blocks: list[Block] = []
    start = 0
    position = skip_blank(lines, 0)
    while position < len(lines):
        found = recognize(lines, position)
        end = skip_blank(lines, found.end)
        text = "".join(lines[start:end])
        blocks.append(Block(text=text, kind=found.kind, level=found.level, title=clean_title(found.title)))
        start = position = end
    if start < len(lines):
        blocks.append(Block(text="".join(lines[start:]), kind="paragraph"))
    return blocks


def skip_blank(lines: Sequence[str], position: int) -> int:
    """The index of the first line from ``position`` on that is not blank."""
    while position < len(lines) and not lines[position].strip():
        position += 1
    return position


def indent_of(line: str) -> int:
    """Columns of white space before the text; a tab counts as four."""
    margin = line[: len(line) - len(line.lstrip())]
    return len(margin) + 3 * margin.count("\t")


def literal_end(lines: Sequence[str], position: int, indent: int) -> int:
    """Where a run of lines indented by at least ``indent`` ends, blank lines inside it included."""
    end = position
    while position < len(lines) and indent_of(lines[position]) >= indent:
        end = position + 1
        position = skip_blank(lines, end)
    return end


def text_kind(line: str) -> BlockKind:
    """Whether a run of text that begins with this line is a table or a paragraph."""
    return "table" if _TABLE_LINE.match(line) else "paragraph"


def clean_title(title: str) -> str:
    """A title on one line, with single spaces, of bounded length."""
    return " ".join(title[: 2 * MAX_TITLE_CHARS].split())[:MAX_TITLE_CHARS]

"""Blocks of Markdown: ATX and setext headings, fences, lists, tables, comments, indented code.

Follows CommonMark 0.31 where a line can be judged by itself and the line after it; nesting inside list items and
quotations is left alone, as nothing there is a heading for us.
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

_CODE_INDENT = 4
_ITEM_INDENT = 2
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]++(.*)|\s*+$)", re.DOTALL)
_SETEXT = re.compile(r" {0,3}(?:=++|-++)\s*+$")
_FENCE = re.compile(r"\s*+(?:[-*+]\s++)?(`{3,}+(?!.*`)|~{3,}+)", re.DOTALL)
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_RULE = re.compile(r" {0,3}([-*_])[ \t]*+(?:\1[ \t]*+){2,}\s*+$")


def blocks(content: str) -> list[Block]:
    """The blocks of a Markdown text without its front matter."""
    return scan(content.splitlines(keepends=True), _recognize)


def _recognize(lines: Sequence[str], position: int) -> Recognized:
    line = lines[position]
    if _FENCE.match(line) and not _ITEM.match(line):
        return Recognized(end=_fence_end(lines, position), kind="literal")
    if heading := _ATX.match(line):
        title = (heading[2] or "").rstrip().rstrip("#").rstrip()
        return Recognized(end=position + 1, kind="heading", level=len(heading[1]), title=title)
    if line.lstrip().startswith("<!--"):
        return Recognized(end=_comment_end(lines, position), kind="literal")
    if indent_of(line) >= _CODE_INDENT:
        return Recognized(end=literal_end(lines, position, _CODE_INDENT), kind="literal")
    if _ITEM.match(line) and not _RULE.match(line):
        return Recognized(end=_item_end(lines, position), kind="list_item")
    return _paragraph(lines, position)


def _paragraph(lines: Sequence[str], position: int) -> Recognized:
    end = position + 1
    if _RULE.match(lines[position]):
        return Recognized(end=end, kind="paragraph")
    quoted = lines[position].lstrip().startswith((">", "|"))
    while end < len(lines) and lines[end].strip():
        line = lines[end]
        if _SETEXT.match(line) and not quoted:
            level = 1 if line.lstrip().startswith("=") else 2
            return Recognized(end=end + 1, kind="heading", level=level, title=" ".join(lines[position:end]))
        if _interrupts(line):
            break
        end += 1
    return Recognized(end=end, kind=text_kind(lines[position]))


def _interrupts(line: str) -> bool:
    return bool(_ATX.match(line) or _FENCE.match(line) or _ITEM.match(line) or line.lstrip().startswith("<!--"))


def _item_end(lines: Sequence[str], position: int) -> int:
    """A list item goes on over lines without a gap, and after a gap as long as they are indented."""
    end = _fence_end(lines, position) if _FENCE.match(lines[position]) else position + 1
    while end < len(lines):
        line = lines[end]
        if not line.strip():
            after = skip_blank(lines, end)
            if after == len(lines) or indent_of(lines[after]) < _ITEM_INDENT:
                return end
            end = after
        elif _FENCE.match(line) and indent_of(line) >= _ITEM_INDENT:
            end = _fence_end(lines, end)
        elif indent_of(line) < _ITEM_INDENT and _interrupts(line):
            return end
        else:
            end += 1
    return end


def _fence_end(lines: Sequence[str], position: int) -> int:
    """Just after the closing fence; without one, the end of the text, as CommonMark has it."""
    opening = _FENCE.match(lines[position])
    mark = opening[1] if opening else "```"
    for index in range(position + 1, len(lines)):
        closing = lines[index].strip()
        if len(closing) >= len(mark) and not closing.strip(mark[0]):
            return index + 1
    return len(lines)


def _comment_end(lines: Sequence[str], position: int) -> int:
    for index in range(position, len(lines)):
        if "-->" in lines[index]:
            return index + 1
    return len(lines)

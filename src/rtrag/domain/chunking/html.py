"""Blocks of HTML: cut before the tags that begin a block; h1 to h6 are headings.

A tokenizer by regular expression, not a parser: it finds where blocks begin, and steps over comments, scripts,
styles and preformatted text as a whole. What is never closed reaches to the end, so nothing is read twice.
"""

import re
from html import unescape

from rtrag.domain.chunking.blocks import MAX_TITLE_CHARS, Block, BlockKind, clean_title

_START = re.compile(
    r"<(?:(?P<comment>!--)"
    r"|(?P<raw>script|style|pre|textarea)\b"
    r"|h(?P<level>[1-6])\b"
    r"|(?P<item>li|dt|dd)\b"
    r"|(?P<row>tr|thead|tbody)\b"
    r"|(?P<block>p|div|ul|ol|dl|table|section|article|aside|header|footer|main|nav|blockquote|figure|form|hr|body)\b)",
    re.IGNORECASE,
)
_CLOSERS = {
    name: re.compile(rf"</{name}\s*>", re.IGNORECASE)
    for name in ("script", "style", "pre", "textarea", "h1", "h2", "h3", "h4", "h5", "h6")
}
_COMMENT_END = re.compile(r"-->")
_TAG = re.compile(r"<[^<>]*+>")


def blocks(content: str) -> list[Block]:
    """The blocks of an HTML text."""
    found: list[Block] = []
    start = 0
    kind: BlockKind = "paragraph"
    position = 0
    while match := _START.search(content, position):
        if match.start() > start:
            _append(found, Block(text=content[start : match.start()], kind=kind))
        start = match.start()
        position, kind = _end_of_start(content, match)
        if match["level"]:
            heading = content[start:position]
            title = clean_title(unescape(_TAG.sub(" ", heading[: 8 * MAX_TITLE_CHARS])))
            _append(found, Block(text=heading, kind="heading", level=int(match["level"]), title=title))
            start, kind = position, "paragraph"
    if start < len(content):
        _append(found, Block(text=content[start:], kind=kind))
    return found


def _end_of_start(content: str, match: re.Match[str]) -> tuple[int, BlockKind]:
    """Up to where nothing can begin a block, and the kind of what begins here."""
    if match["comment"]:
        return _after(_COMMENT_END, content, match.end()), "literal"
    if match["raw"]:
        return _after(_CLOSERS[match["raw"].lower()], content, match.end()), "literal"
    if match["level"]:
        return _after(_CLOSERS[f"h{match['level']}"], content, match.end()), "heading"
    if match["row"]:
        return match.end(), "table"
    return match.end(), "list_item" if match["item"] else "paragraph"


def _after(closer: re.Pattern[str], content: str, position: int) -> int:
    match = closer.search(content, position)
    return match.end() if match else len(content)


def _append(found: list[Block], block: Block) -> None:
    """Add a block; white space alone joins the one before, at the start of the content the one after."""
    if found and not (block.text.strip() and found[-1].text.strip()):
        last = found.pop()
        told = last if last.text.strip() else block
        block = Block(text=last.text + block.text, kind=told.kind, level=told.level, title=told.title)
    found.append(block)

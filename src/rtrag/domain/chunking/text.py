"""Blocks of plain text: paragraphs between blank lines."""

from collections.abc import Sequence

from rtrag.domain.chunking.blocks import Block, Recognized, scan


def blocks(content: str) -> list[Block]:
    """The paragraphs of a plain text."""
    return scan(content.splitlines(keepends=True), _paragraph)


def _paragraph(lines: Sequence[str], position: int) -> Recognized:
    end = position + 1
    while end < len(lines) and lines[end].strip():
        end += 1
    return Recognized(end=end, kind="paragraph")

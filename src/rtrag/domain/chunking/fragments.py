"""Fragments: blocks, or pieces of long ones, with how well the content may be cut before each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from rtrag.domain.chunking.blocks import Block, BlockKind
from rtrag.domain.chunking.sentences import Cutter, items, lines, paragraphs, sentences, words

MAX_CHARS = 1000
_MAX_GLUED = 300


class Boundary(IntEnum):
    """How well the content may be cut before a fragment, the best last.

    ITEM is between two list items, table rows, or groups of lines of code.
    """

    WORD = 0
    LINE = 1
    SENTENCE = 2
    ITEM = 3
    BLOCK = 4


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of text that is never cut, and the boundary before it."""

    text: str
    before: Boundary


# How a block longer than a chunk is cut: by the first that yields pieces short enough, and so on inside long pieces.
_CUTTERS: dict[BlockKind, tuple[tuple[Cutter, Boundary], ...]] = {
    "heading": (),
    "paragraph": ((sentences, Boundary.SENTENCE), (lines, Boundary.LINE)),
    "list_item": (
        (items, Boundary.ITEM),
        (paragraphs, Boundary.ITEM),
        (sentences, Boundary.SENTENCE),
        (lines, Boundary.LINE),
    ),
    "literal": ((paragraphs, Boundary.ITEM), (lines, Boundary.LINE)),
    "table": ((lines, Boundary.ITEM),),
}


def fragments_of(blocks: Iterable[Block]) -> list[Fragment]:
    """The fragments of a section's blocks. A heading is one fragment with the beginning of what stands below it;
    text that ends in a colon is best not parted from what it introduces.

    No fragment has more than MAX_CHARS characters but for a glued heading and white space.
    """
    found: list[Fragment] = []
    headings = ""
    for block in blocks:
        if block.kind == "heading" and len(headings) + len(block.text) <= _MAX_GLUED:
            headings += block.text
            continue
        pieces = _pieces(block)
        if headings:
            pieces[0] = Fragment(headings + pieces[0].text, Boundary.BLOCK)
            headings = ""
        elif found and found[-1].text.rstrip().endswith(":"):
            pieces[0] = Fragment(pieces[0].text, Boundary.LINE)
        found.extend(pieces)
    if headings:
        found.append(Fragment(headings, Boundary.BLOCK))
    return found


def _pieces(block: Block) -> list[Fragment]:
    first = Boundary.ITEM if block.kind == "list_item" else Boundary.BLOCK
    if len(block.text.strip()) <= MAX_CHARS:
        return [Fragment(block.text, first)]
    pieces: list[Fragment] = []
    _divide(block.text, _CUTTERS[block.kind], first, pieces)
    return pieces


def _divide(text: str, cutters: Sequence[tuple[Cutter, Boundary]], before: Boundary, found: list[Fragment]) -> None:
    """Cut a text that is too long by the first cutter, what is still too long by the next."""
    if not cutters:
        pieces, inner = words(text, MAX_CHARS), Boundary.WORD
    else:
        pieces, inner = cutters[0][0](text), cutters[0][1]
    for piece in _without_blanks(pieces):
        if not cutters or len(piece.strip()) <= MAX_CHARS:
            found.append(Fragment(piece, before))
        else:
            _divide(piece, cutters[1:], before, found)
        before = inner


def _without_blanks(pieces: Sequence[str]) -> list[str]:
    """The pieces, those of white space alone joined to the one before, or to the first one after."""
    kept: list[str] = []
    pending: list[str] = []
    for piece in pieces:
        if pending and piece.strip() and "".join(pending).strip():
            kept.append("".join(pending))
            pending = []
        pending.append(piece)
    if pending:
        kept.append("".join(pending))
    return kept

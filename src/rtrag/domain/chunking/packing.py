"""From blocks to chunks: headings part the content into sections, a section's fragments are packed into chunks.

The figures below were settled on real edit histories (benchmarks/chunk_reuse.py): even chunks of middling size
embed the least again, and joining very short sections lifts the mean length for almost nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rtrag.domain.chunk import Chunk
from rtrag.domain.chunking.blocks import Block
from rtrag.domain.chunking.fragments import MAX_CHARS, Boundary, Fragment, fragments_of

TARGET_CHARS = 600  # where a section is cut, if it can be cut there
PARAGRAPH_TARGET_CHARS = 1000  # the same inside a paragraph: as late as possible, so as to cut few sentences apart
MIN_CHARS = 300  # before this, only where the next fragment does not fit
WHOLE_CHARS = 700  # a section, or what is left of one, that is not cut at all
TAIL_CHARS = 150  # the least that is left over for a last chunk
SMALL_CHARS = 200  # a section shorter than this is joined to a neighbour


@dataclass(slots=True)
class _Section:
    """Headings and the blocks below them. ``path`` is that of all the text that is not a heading."""

    path: tuple[str, ...]
    level: int
    blocks: list[Block] = field(default_factory=list)
    size: int = 0
    has_body: bool = False

    def add(self, block: Block) -> None:
        self.blocks.append(block)
        self.size += len(block.text)
        self.has_body = self.has_body or block.kind != "heading"


def pack(blocks: Iterable[Block]) -> list[Chunk]:
    """The chunks of a content's blocks; their texts, joined, are the blocks' texts, joined."""
    chunks: list[Chunk] = []
    for section in _joined(_sections(blocks)):
        fragments = fragments_of(section.blocks)
        chunks.extend(
            Chunk(text="".join(fragment.text for fragment in group), heading_path=section.path)
            for group in _groups(fragments)
        )
    return chunks


def _sections(blocks: Iterable[Block]) -> list[_Section]:
    """One section for each heading, and one for what stands before the first."""
    sections: list[_Section] = []
    headings: list[Block] = []
    for block in blocks:
        if block.kind == "heading":
            while headings and headings[-1].level >= block.level:
                headings.pop()
            headings.append(block)
            path = tuple(heading.title for heading in headings if heading.title)
            sections.append(_Section(path=path, level=block.level))
        elif not sections:
            sections.append(_Section(path=(), level=0))
        sections[-1].add(block)
    return sections


def _joined(sections: Iterable[_Section]) -> list[_Section]:
    """Sections, those without text of their own joined to the next one, very short ones to a neighbour."""
    joined: list[_Section] = []
    for section in sections:
        last = joined[-1] if joined else None
        if last and not last.has_body:
            _join(last, section, section.path)
        elif last and _belong_together(last, section):
            _join(last, section, _common(last.path, section.path) if section.has_body else last.path)
        else:
            joined.append(section)
    return joined


def _belong_together(last: _Section, section: _Section) -> bool:
    """Whether one of two neighbours is very short, the later is not of a higher level, and both fit in a chunk."""
    short = min(last.size, section.size) < SMALL_CHARS
    return short and section.level >= last.level and last.size + section.size <= TARGET_CHARS


def _join(last: _Section, section: _Section, path: tuple[str, ...]) -> None:
    for block in section.blocks:
        last.add(block)
    last.path, last.level = path, section.level


def _common(left: Sequence[str], right: Sequence[str]) -> tuple[str, ...]:
    """The beginning that two paths share."""
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    return tuple(left[:length])


def _groups(fragments: Sequence[Fragment]) -> list[Sequence[Fragment]]:
    """Fragments by chunk: each time the best boundary within reach, the one nearest to the target."""
    groups: list[Sequence[Fragment]] = []
    rest = sum(len(fragment.text) for fragment in fragments)
    start = 0
    while start < len(fragments):
        end = _cut(fragments, start, rest)
        groups.append(fragments[start:end])
        rest -= sum(len(fragment.text) for fragment in fragments[start:end])
        start = end
    return groups


def _cut(fragments: Sequence[Fragment], start: int, rest: int) -> int:
    """Where the chunk that begins at ``start`` ends. ``rest`` is the length of everything from there on."""
    if rest <= WHOLE_CHARS:
        return len(fragments)
    candidates: list[tuple[int, int]] = []
    size, end = len(fragments[start].text), start + 1
    while end < len(fragments):
        overflow = size + len(fragments[end].text) > MAX_CHARS
        if size >= MIN_CHARS or overflow:
            candidates.append((end, size))
        if overflow:
            break
        size += len(fragments[end].text)
        end += 1
    if not candidates:
        return len(fragments)
    with_tail = [candidate for candidate in candidates if rest - candidate[1] >= TAIL_CHARS]
    return max(with_tail or candidates, key=lambda candidate: _merit(fragments[candidate[0]].before, candidate[1]))[0]


def _merit(boundary: Boundary, size: int) -> tuple[int, int]:
    target = TARGET_CHARS if boundary >= Boundary.ITEM else PARAGRAPH_TARGET_CHARS
    return boundary, -abs(size - target)

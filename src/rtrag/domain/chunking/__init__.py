"""Chunking: deterministic, lossless, and stable under local edits.

Headings part a content into sections. Inside a section whole paragraphs, list items, tables and code blocks are
packed into chunks of about 600 and at most about 1,000 characters; only what is longer is cut, at sentences or
lines. Front matter is one chunk of its own. The texts of all chunks, joined, are the content, whatever it is.
"""

from collections.abc import Callable, Mapping

from rtrag.domain.chunk import Chunk
from rtrag.domain.chunking import html, markdown, rst, text
from rtrag.domain.chunking.blocks import Block
from rtrag.domain.chunking.formats import detect_format
from rtrag.domain.chunking.front_matter import front_matter_end, header_fields
from rtrag.domain.chunking.packing import pack
from rtrag.domain.document import Format

__all__ = ["CHUNKER_VERSION", "detect_format", "header_fields", "split"]

CHUNKER_VERSION = "2"  # part of every fingerprint: raise it whenever the same content would be cut otherwise

_BLOCKS: Mapping[Format, Callable[[str], list[Block]]] = {
    "markdown": markdown.blocks,
    "rst": rst.blocks,
    "html": html.blocks,
    "text": text.blocks,
}


def split(content: str, format: Format) -> tuple[Chunk, ...]:  # noqa: A002 - the word of the domain
    """The chunks of a content, in order. Takes time in proportion to its length; an empty content has none."""
    start = front_matter_end(content, format)
    head = (Chunk(text=content[:start], kind="front_matter"),) if start else ()
    return (*head, *pack(_BLOCKS[format](content[start:])))

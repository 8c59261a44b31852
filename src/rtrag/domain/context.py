"""The context of an answer: the best passages, joined with their neighbours, numbered for citation.

And the front matter of the best documents, which joins both the sources and the context.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtrag.domain.chunk import is_front_matter
from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.prompt import ContextPassage
from rtrag.domain.retrieval import Passage

HEADED = 3  # best documents whose front matter joins the sources and the context
LEADING = 6  # best passages that no front matter pushes down


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextItem:
    """A passage as the generator gets it, with the manifest of its document."""

    passage: ContextPassage
    manifest: Manifest


def build_context(passages: Sequence[Passage], others: Mapping[str, ChunkPoint], reach: int) -> tuple[ContextItem, ...]:
    """Join each passage with up to ``reach`` chunks before and after it, in document order.

    A chunk appears once, with the best passage that takes it; a passage that is wholly in the context of a
    better one is not repeated. Front matter is never joined; where ``others`` has that of a passage's document, it
    follows at the end as an item of its own: questions about header fields rarely share words with the header.
    """
    texts = {passage.chunk.id: passage.chunk.text for passage in passages}
    texts |= {chunk_id: point.text for chunk_id, point in others.items() if point.kind == "body"}
    own = {passage.chunk.id for passage in passages}
    taken: set[str] = set()
    items: list[ContextItem] = []
    for passage in passages:
        if passage.chunk.id in taken:
            continue
        ids = passage.manifest.chunk_ids
        place = passage.ordinal
        start, end = place, place + 1
        while start > max(0, place - reach) and _may_join(ids[start - 1], texts, taken, own):
            start -= 1
        while end < min(len(ids), place + reach + 1) and _may_join(ids[end], texts, taken, own):
            end += 1
        chosen = ids[start:end]
        taken.update(chosen)
        text = "".join(texts[chunk_id] for chunk_id in chosen)
        items.append(_item(len(items) + 1, passage.chunk, passage.manifest, text, chosen))
    for passage in passages:
        header = header_of(passage.manifest)
        if header in others and header not in taken:
            taken.add(header)
            point = others[header]
            items.append(_item(len(items) + 1, point, passage.manifest, point.text, (header,)))
    return tuple(items)


def best_headers(passages: Sequence[Passage]) -> tuple[str, ...]:
    """The ids of the front matter of the ``HEADED`` best documents: those whose passages come first."""
    manifests: dict[DocumentKey, Manifest] = {}
    for passage in passages:
        if passage.chunk.key not in manifests:
            manifests[passage.chunk.key] = passage.manifest
            if len(manifests) == HEADED:
                break
    return tuple([header for manifest in manifests.values() if (header := header_of(manifest))])


def raise_headers(passages: Sequence[Passage], headers: Mapping[str, ChunkPoint]) -> tuple[Passage, ...]:
    """The passages with each of these headers behind the best one of its document, but behind ``LEADING`` ones.

    A header that stands higher by itself stays where it is; a raised one gets the score of the passage it follows. The
    first passages of a result do not depend on how many follow, so pages of different lengths agree.
    """
    if not headers:
        return tuple(passages)
    ranked: list[Passage] = []
    placed: set[str] = set()
    waiting: dict[str, Passage] = {}
    for passage in passages:
        if passage.chunk.id in placed:
            continue
        ranked.append(passage)
        placed.add(passage.chunk.id)
        header = header_of(passage.manifest)
        if header in headers and header not in placed:
            waiting.setdefault(header, passage)
        if len(ranked) >= LEADING:
            _follow(ranked, placed, waiting, headers)
    _follow(ranked, placed, waiting, headers)
    return tuple(ranked)


def _follow(
    ranked: list[Passage], placed: set[str], waiting: dict[str, Passage], headers: Mapping[str, ChunkPoint]
) -> None:
    """Put the waiting headers that have not found a place of their own behind what is ranked."""
    score = ranked[-1].score if ranked else 0.0
    for header, passage in waiting.items():
        if header not in placed:
            placed.add(header)
            ranked.append(Passage(chunk=headers[header], manifest=passage.manifest, score=score))
    waiting.clear()


def header_of(manifest: Manifest) -> str:
    """The id of a document's front matter, empty if it has none."""
    first = manifest.chunk_ids[0] if manifest.chunk_ids else ""
    return first if first and is_front_matter(first) else ""


def _item(number: int, chunk: ChunkPoint, manifest: Manifest, text: str, chunk_ids: tuple[str, ...]) -> ContextItem:
    passage = ContextPassage(
        number=number, title=chunk.title, heading_path=chunk.heading_path, text=text, chunk_ids=chunk_ids
    )
    return ContextItem(passage=passage, manifest=manifest)


def _may_join(chunk_id: str, texts: Mapping[str, str], taken: set[str], own: set[str]) -> bool:
    return chunk_id in texts and chunk_id not in taken and chunk_id not in own

"""The context of an answer: the best passages, joined with their neighbours, numbered for citation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.prompt import ContextPassage
from rtrag.domain.retrieval import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextItem:
    """A passage as the generator gets it, with the manifest of its document."""

    passage: ContextPassage
    manifest: Manifest


def build_context(
    passages: Sequence[Passage], neighbours: Mapping[str, ChunkPoint], reach: int
) -> tuple[ContextItem, ...]:
    """Join each passage with up to ``reach`` chunks before and after it, in document order.

    A chunk appears once, with the best passage that takes it; a passage that is wholly in the context of a
    better one is not repeated. Front matter is never pulled in as a neighbour.
    """
    texts = {passage.chunk.id: passage.chunk.text for passage in passages}
    texts |= {chunk_id: point.text for chunk_id, point in neighbours.items() if point.kind == "body"}
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
        items.append(
            ContextItem(
                passage=ContextPassage(
                    number=len(items) + 1,
                    title=passage.chunk.title,
                    heading_path=passage.chunk.heading_path,
                    text="".join(texts[chunk_id] for chunk_id in chosen),
                    chunk_ids=chosen,
                ),
                manifest=passage.manifest,
            )
        )
    return tuple(items)


def _may_join(chunk_id: str, texts: Mapping[str, str], taken: set[str], own: set[str]) -> bool:
    return chunk_id in texts and chunk_id not in taken and chunk_id not in own

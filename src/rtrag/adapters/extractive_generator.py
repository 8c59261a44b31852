"""Answers made of the passages' own sentences: no key, no network, under a millisecond or so."""

from collections.abc import AsyncIterator, Sequence

import numpy as np

from rtrag.domain.chunk import Vector
from rtrag.domain.extraction import Candidate, choose, shortlist
from rtrag.domain.prompt import AnswerDraft, CitedSpan, ContextPassage
from rtrag.ports.embedding import Embedder
from rtrag.ports.generation import TextDelta

NOTHING_FOUND = "The documents found do not answer this question."


class ExtractiveGenerator:
    """Quotes the one to three sentences that answer best, each with its citation.

    ``embedder`` compares the question with a handful of sentences; give one that costs microseconds, or None to
    decide by words alone.
    """

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder

    @property
    def model_id(self) -> str:
        return f"extractive/1+{self._embedder.model_id}" if self._embedder else "extractive/1"

    async def generate(self, question: str, passages: Sequence[ContextPassage]) -> AnswerDraft:
        """See ``rtrag.ports.generation.Generator``; errors are the embedder's."""
        candidates = shortlist(question, passages)
        chosen = choose(candidates, await self._similarities(question, candidates))
        if not chosen:
            return AnswerDraft(text=NOTHING_FOUND, citations=(), sufficient=False)
        return AnswerDraft(
            text=" ".join(f"{' '.join(item.text.split())} [{item.number}]" for item in chosen),
            citations=tuple(CitedSpan(number=item.number, quote=item.text) for item in chosen),
            sufficient=True,
        )

    async def stream(self, question: str, passages: Sequence[ContextPassage]) -> AsyncIterator[TextDelta | AnswerDraft]:
        """See ``rtrag.ports.generation.Generator``: the whole text is one piece."""
        draft = await self.generate(question, passages)
        yield TextDelta(text=draft.text)
        yield draft

    async def _similarities(self, question: str, candidates: Sequence[Candidate]) -> list[float] | None:
        if self._embedder is None:
            return None
        if not candidates:
            return []
        texts = [question, *(candidate.text for candidate in candidates)]
        return _cosines(await self._embedder.embed(texts, input_type="query"))


def _cosines(vectors: Sequence[Vector]) -> list[float]:
    """Of the first vector with each of the others; 0 where one has no length."""
    rows = np.asarray(vectors, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    products = lengths[1:] * lengths[0]
    cosines: list[float] = np.divide(
        rows[1:] @ rows[0], products, out=np.zeros_like(products), where=products > 0
    ).tolist()
    return cosines

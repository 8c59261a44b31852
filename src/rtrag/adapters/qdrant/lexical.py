"""Sparse vectors for search by words, made by Qdrant's own BM25 model: no service needed.

The engine multiplies them by inverse document frequency, so a dot product is a BM25 score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, SparseVector, StopwordsSet, TokenizerType

from rtrag.domain.chunk import lexical_text
from rtrag.domain.errors import ConfigurationError

_TOKENIZERS = {
    "word": TokenizerType.Word,
    "whitespace": TokenizerType.Whitespace,
    "multilingual": TokenizerType.Multilingual,
    "code": TokenizerType.Code,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalSettings:
    """How words are cut, folded and weighed. A change of any of them needs the index built afresh.

    Attributes:
        k: how fast repeated words stop counting.
        b: how much the length of a chunk counts, from 0 to 1.
        average_length: expected length of a chunk in tokens.
        language: decides stop words and stemming; None for neither.
        stem: whether words are reduced to their stems.
        ascii_folding: whether accents are ignored.
    """

    k: float = 1.2
    b: float = 0.75
    average_length: float = 130.0
    language: str | None = "english"
    tokenizer: Literal["word", "whitespace", "multilingual", "code"] = "word"
    stem: bool = True
    ascii_folding: bool = False
    min_token_length: int | None = None
    max_token_length: int | None = None


class Lexical:
    """Makes sparse vectors of chunks and queries."""

    def __init__(self, settings: LexicalSettings) -> None:
        try:
            self._model = Bm25(
                Bm25Config(
                    k=settings.k,
                    b=settings.b,
                    avg_len=settings.average_length,
                    language=settings.language,
                    tokenizer=_TOKENIZERS[settings.tokenizer],
                    stemmer=None if settings.stem and settings.language else DisabledStemmer(),
                    stopwords=None if settings.language else StopwordsSet(),
                    ascii_folding=settings.ascii_folding,
                    min_token_len=settings.min_token_length,
                    max_token_len=settings.max_token_length,
                )
            )
        except ValueError as exc:
            raise ConfigurationError(
                f"Search by words cannot be set up with {settings}: {exc}.", fix="Correct the lexical settings."
            ) from exc

    def document(self, title: str, heading_path: Sequence[str], text: str) -> SparseVector:
        """The vector of a chunk; empty when it holds no words."""
        return self._model.embed_document(lexical_text(title, heading_path, text))

    def query(self, text: str) -> SparseVector | None:
        """The vector of a query, None when it holds no words."""
        vector = self._model.embed_query(text)
        return vector if vector.indices else None

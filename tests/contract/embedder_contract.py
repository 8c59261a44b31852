"""What every embedder must do."""

import math

from rtrag.ports.embedding import Embedder

TEXTS = (
    "Tea costs two euros.",
    "",
    "x",
    "Cake",
    "日本語 😀",
    "tab\tand\nline",
    "null \x00",
    "lone \ud800",
    "Tea " * 500,
)


class EmbedderContract:
    """Subclasses give a fixture ``embedder``."""

    async def test_every_text_gets_a_finite_vector_of_the_right_length_that_is_not_zero(
        self, embedder: Embedder
    ) -> None:
        vectors = await embedder.embed(TEXTS, input_type="document")
        assert len(vectors) == len(TEXTS)
        for vector in vectors:
            assert len(vector) == embedder.dimensions
            assert all(map(math.isfinite, vector))
            assert any(vector)

    async def test_equal_texts_have_equal_vectors_whatever_stands_beside_them(self, embedder: Embedder) -> None:
        together = await embedder.embed(TEXTS, input_type="document")
        for text, vector in zip(TEXTS, together, strict=True):
            (alone,) = await embedder.embed([text], input_type="document")
            assert list(alone) == list(vector)

    async def test_different_texts_have_different_vectors_in_order(self, embedder: Embedder) -> None:
        tea, cake = await embedder.embed(["tea", "cake"], input_type="document")
        assert list(tea) != list(cake)
        again = await embedder.embed(["cake", "tea"], input_type="document")
        assert [list(vector) for vector in again] == [list(cake), list(tea)]

    async def test_no_texts_have_no_vectors(self, embedder: Embedder) -> None:
        assert list(await embedder.embed([], input_type="document")) == []

    async def test_queries_have_vectors_of_the_same_length(self, embedder: Embedder) -> None:
        (vector,) = await embedder.embed(["What is tea?"], input_type="query")
        assert len(vector) == embedder.dimensions

    async def test_the_model_is_named(self, embedder: Embedder) -> None:
        assert embedder.model_id
        assert embedder.model_id == embedder.model_id.strip()

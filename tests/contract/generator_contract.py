"""What every generator must do."""

from rtrag.domain.prompt import AnswerDraft, ContextPassage
from rtrag.ports.generation import Generator, TextDelta

PASSAGES = (
    ContextPassage(number=1, title="Prices", heading_path=("Drinks",), text="Tea costs 2 euros.", chunk_ids=("a",)),
    ContextPassage(number=2, title="Hours", heading_path=(), text="The shop is open until six.", chunk_ids=("b",)),
)
QUESTION = "What does tea cost?"


class GeneratorContract:
    """Subclasses give a fixture ``generator`` that can answer the question from the passages."""

    async def test_an_answer_cites_passages_that_were_given_with_their_own_words(self, generator: Generator) -> None:
        draft = await generator.generate(QUESTION, PASSAGES)
        texts = {passage.number: passage.text for passage in PASSAGES}
        assert draft.sufficient
        assert draft.text
        assert draft.citations
        for span in draft.citations:
            assert span.quote in texts[span.number]

    async def test_equal_evidence_gives_an_equal_answer(self, generator: Generator) -> None:
        assert await generator.generate(QUESTION, PASSAGES) == await generator.generate(QUESTION, PASSAGES)

    async def test_without_passages_the_answer_does_not_suffice(self, generator: Generator) -> None:
        draft = await generator.generate(QUESTION, ())
        assert draft.text
        assert (draft.sufficient, draft.citations) == (False, ())

    async def test_a_stream_ends_with_the_draft_whose_text_its_pieces_are(self, generator: Generator) -> None:
        *pieces, draft = [item async for item in generator.stream(QUESTION, PASSAGES)]
        assert all(isinstance(piece, TextDelta) for piece in pieces)
        assert isinstance(draft, AnswerDraft)
        assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == draft.text
        assert draft == await generator.generate(QUESTION, PASSAGES)

    async def test_the_model_is_named(self, generator: Generator) -> None:
        assert generator.model_id

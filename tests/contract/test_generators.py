"""Every generator against the contract, and what the extractive one promises beyond it."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from contract.generator_contract import PASSAGES, QUESTION, GeneratorContract
from integration.openai.server import FakeOpenAI, running
from rtrag.adapters.extractive_generator import NOTHING_FOUND, ExtractiveGenerator
from rtrag.adapters.openai.generator import OpenAIGenerator
from rtrag.adapters.static_embedder import StaticEmbedder
from rtrag.domain.errors import TransientError
from rtrag.domain.prompt import ContextPassage
from rtrag.testing.generation import EchoGenerator


@pytest.fixture(scope="module")
def static() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with running() as server:
        yield server


class TestExtractiveGenerator(GeneratorContract):
    @pytest.fixture(params=["with an embedder", "by words alone"])
    def generator(self, request: pytest.FixtureRequest, static: StaticEmbedder) -> ExtractiveGenerator:
        return ExtractiveGenerator(static if request.param == "with an embedder" else None)

    async def test_the_answer_is_the_sentence_with_its_number(self, generator: ExtractiveGenerator) -> None:
        draft = await generator.generate(QUESTION, PASSAGES)
        assert draft.text.startswith("Tea costs 2 euros. [1]")

    async def test_what_does_not_fit_is_said_not_to_answer(self, generator: ExtractiveGenerator) -> None:
        draft = await generator.generate("Who composed the ninth symphony?", PASSAGES)
        assert (draft.text, draft.citations, draft.sufficient) == (NOTHING_FOUND, (), False)

    async def test_lines_of_a_sentence_are_joined_in_the_text_and_kept_in_the_quote(
        self, generator: ExtractiveGenerator
    ) -> None:
        passage = ContextPassage(number=3, title="", heading_path=(), text="Tea costs\n  9 euros.\n", chunk_ids=("c",))
        draft = await generator.generate(QUESTION, [passage])
        assert draft.text == "Tea costs 9 euros. [3]"
        assert draft.citations[0].quote == "Tea costs\n  9 euros."


class TestOpenAIGenerator(GeneratorContract):
    @pytest.fixture
    async def generator(self, server: FakeOpenAI) -> AsyncIterator[OpenAIGenerator]:
        citations = [{"number": 1, "quote": "Tea costs 2 euros."}]
        server.script.content = json.dumps({"answer": "2 euros [1].", "citations": citations, "sufficient": True})
        yield OpenAIGenerator(server.client(), model="test-model")
        await server.close()


class TestEchoGenerator(GeneratorContract):
    @pytest.fixture
    def generator(self) -> EchoGenerator:
        return EchoGenerator()

    async def test_it_remembers_what_it_was_asked(self, generator: EchoGenerator) -> None:
        await generator.generate(QUESTION, PASSAGES)
        assert generator.asked == [(QUESTION, PASSAGES)]

    async def test_it_fails_as_often_as_it_was_told(self, generator: EchoGenerator) -> None:
        generator.fail_next(TransientError("away"))
        with pytest.raises(TransientError, match="away"):
            await generator.generate(QUESTION, PASSAGES)
        assert (await generator.generate(QUESTION, PASSAGES)).sufficient

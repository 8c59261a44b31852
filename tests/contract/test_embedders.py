"""Every embedder against the contract, and the script of the one for tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from contract.embedder_contract import EmbedderContract
from integration.openai.server import FakeOpenAI, running
from rtrag.adapters.openai.embedder import OpenAIEmbedder
from rtrag.adapters.static_embedder import StaticEmbedder
from rtrag.domain.errors import TerminalError, TransientError
from rtrag.testing.embedding import HashEmbedder


@pytest.fixture(scope="module")
def static() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with running() as server:
        yield server


class TestStaticEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, static: StaticEmbedder) -> StaticEmbedder:
        return static


class TestOpenAIEmbedder(EmbedderContract):
    @pytest.fixture
    async def embedder(self, server: FakeOpenAI) -> AsyncIterator[OpenAIEmbedder]:
        yield OpenAIEmbedder(server.client(), model="test-model", dimensions=16)
        await server.close()


class TestHashEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> HashEmbedder:
        return HashEmbedder()

    async def test_it_counts_what_it_was_given(self, embedder: HashEmbedder) -> None:
        await embedder.embed(["a", "bc", "a"], input_type="document")
        await embedder.embed(["q"], input_type="query")
        assert (embedder.counts["a"], embedder.characters, embedder.queries, embedder.calls) == (2, 4, ["q"], 2)

    async def test_it_fails_as_often_as_it_was_told(self, embedder: HashEmbedder) -> None:
        embedder.fail_next(TransientError("away"))
        with pytest.raises(TransientError, match="away"):
            await embedder.embed(["a"], input_type="document")
        assert len(await embedder.embed(["a"], input_type="document")) == 1

    async def test_it_refuses_the_texts_it_was_told_to(self, embedder: HashEmbedder) -> None:
        embedder.refuse(lambda text: "bad" in text)
        with pytest.raises(TerminalError, match="bad text"):
            await embedder.embed(["fine", "bad text"], input_type="document")
        assert len(await embedder.embed(["fine"], input_type="document")) == 1

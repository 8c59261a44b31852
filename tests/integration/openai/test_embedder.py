"""The OpenAI embedder against a server that speaks the protocol."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fastapi.responses import HTMLResponse, JSONResponse

from integration.openai.server import FakeOpenAI, error
from rtrag.adapters.openai.embedder import OpenAIEmbedder, RequestLimits
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError, TerminalError, TransientError
from rtrag.testing.embedding import HashEmbedder


def embedder(server: FakeOpenAI, limits: RequestLimits | None = None, timeout: float = 10.0) -> OpenAIEmbedder:
    return OpenAIEmbedder(server.client(timeout), model="test-model", dimensions=16, limits=limits or RequestLimits())


def sizes(server: FakeOpenAI) -> list[int]:
    return [len(request["input"]) for request in server.script.requests]


async def test_texts_are_packed_by_count_and_tokens_and_stay_in_order(server: FakeOpenAI) -> None:
    texts = [f"text {number}" for number in range(7)]
    by_count = await embedder(server, RequestLimits(inputs=3)).embed(texts, input_type="document")
    assert sizes(server) == [3, 3, 1]
    assert list(by_count) == [HashEmbedder(dimensions=16).vector(text) for text in texts]
    server.script.requests.clear()
    await embedder(server, RequestLimits(tokens=5)).embed(texts, input_type="document")
    assert sizes(server) == [2, 2, 2, 1]
    server.script.requests.clear()
    await embedder(server, RequestLimits(tokens=5)).embed(["語" * 5, "語", "x" * 100, "y"], input_type="document")
    assert [request["input"] for request in server.script.requests] == [["語" * 5], ["語"], ["x" * 100], ["y"]]


async def test_a_text_at_fault_is_found_by_halving_and_named(server: FakeOpenAI) -> None:
    server.script.poison = "poison"
    texts = [*(f"fine {number}" for number in range(40)), "poison here", "fine too"]
    with pytest.raises(TerminalError, match="'poison here'"):
        await embedder(server).embed(texts, input_type="document")
    assert len(server.script.requests) <= 14
    assert server.script.requests[-1]["input"] == ["poison here"]


async def test_a_batch_that_is_too_large_as_a_whole_is_embedded_in_halves(server: FakeOpenAI) -> None:
    server.script.replies = [
        error(400, "max 300000 tokens per request", code="max_tokens_per_request"),
        error(413, "large"),
    ]
    vectors = await embedder(server).embed(["a", "b", "c", "d"], input_type="document")
    assert list(vectors) == [HashEmbedder(dimensions=16).vector(text) for text in "abcd"]
    assert sizes(server) == [4, 2, 1, 1, 2]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({"retry-after": "7"}, 7.0), ({"retry-after-ms": "250", "retry-after": "7"}, 0.25), ({}, None)],
)
async def test_a_rate_limit_carries_the_delay_that_was_asked_for(
    server: FakeOpenAI, headers: dict[str, str], expected: float | None
) -> None:
    server.script.replies = [error(429, "Rate limit reached", headers=headers, code="rate_limit_exceeded")]
    with pytest.raises(TransientError, match="Rate limit reached") as caught:
        await embedder(server).embed(["a"], input_type="document")
    assert caught.value.retry_after == expected
    assert len(server.script.requests) == 1


async def test_a_rate_limit_may_name_a_time(server: FakeOpenAI) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.script.replies = [error(429, "slow down", headers={"retry-after": when})]
    with pytest.raises(TransientError) as caught:
        await embedder(server).embed(["a"], input_type="document")
    assert caught.value.retry_after == pytest.approx(30, abs=3)


async def test_a_used_up_quota_is_waited_for_patiently(server: FakeOpenAI) -> None:
    server.script.replies = [error(429, "You exceeded your current quota", code="insufficient_quota")]
    with pytest.raises(TransientError) as caught:
        await embedder(server).embed(["a"], input_type="document")
    assert caught.value.retry_after == 60


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503])
async def test_a_failure_of_the_server_may_pass(server: FakeOpenAI, status: int) -> None:
    server.script.replies = [error(status, "oops")]
    with pytest.raises(TransientError, match=str(status)):
        await embedder(server).embed(["a"], input_type="document")


async def test_a_server_that_is_away_may_come_back(server: FakeOpenAI) -> None:
    away = OpenAIEmbedder(server.client(url="http://127.0.0.1:9/v1"), model="test-model", dimensions=16)
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        await away.embed(["a"], input_type="query")


async def test_a_slow_server_may_be_faster_later(server: FakeOpenAI) -> None:
    with pytest.raises(ServiceUnavailableError, match="in time"):
        await embedder(server, timeout=0.0001).embed(["a"], input_type="query")


async def test_a_wrong_key_is_a_configuration_error(server: FakeOpenAI) -> None:
    wrong = OpenAIEmbedder(server.client(key="wrong"), model="test-model", dimensions=16)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        await wrong.embed(["a", "b"], input_type="document")
    assert len(server.script.requests) == 1


@pytest.mark.parametrize(
    ("status", "fields"),
    [(404, {"code": "model_not_found"}), (400, {"param": "model"}), (400, {"param": "dimensions"})],
)
async def test_an_unknown_model_is_a_configuration_error_at_once(
    server: FakeOpenAI, status: int, fields: dict[str, str]
) -> None:
    server.script.replies = [error(status, "The model does not exist", headers=None, **fields)]
    with pytest.raises(ConfigurationError, match="test-model"):
        await embedder(server).embed(["a", "b"], input_type="document")
    assert len(server.script.requests) == 1


async def test_vectors_of_another_length_are_a_configuration_error(server: FakeOpenAI) -> None:
    server.script.dimensions = 8
    with pytest.raises(ConfigurationError, match="DIMENSIONS to 8"):
        await embedder(server).embed(["a"], input_type="document")


async def test_a_page_in_place_of_an_answer_is_no_success(server: FakeOpenAI) -> None:
    server.script.replies = [lambda _: HTMLResponse("<html>Sign in</html>")]
    with pytest.raises(TransientError, match="does not answer as OpenAI"):
        await embedder(server).embed(["a"], input_type="document")


async def test_missing_vectors_are_no_success(server: FakeOpenAI) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5] * 16}]
    body = {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    server.script.replies = [lambda _: JSONResponse(body)]
    with pytest.raises(TransientError, match="1 vectors for 2 texts"):
        await embedder(server).embed(["a", "b"], input_type="document")


async def test_only_models_that_can_shorten_vectors_are_asked_to(server: FakeOpenAI) -> None:
    await embedder(server).embed(["a"], input_type="document")
    shortened = OpenAIEmbedder(server.client(), model="text-embedding-3-small", dimensions=16)
    await shortened.embed(["a"], input_type="document")
    assert [request.get("dimensions") for request in server.script.requests] == [None, 16]


async def test_dimensions_are_known_or_demanded(server: FakeOpenAI) -> None:
    assert OpenAIEmbedder(server.client(), model="text-embedding-3-small").dimensions == 1536
    with pytest.raises(ConfigurationError, match="RTRAG_EMBEDDER__DIMENSIONS"):
        OpenAIEmbedder(server.client(), model="my-own")

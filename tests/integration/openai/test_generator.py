"""The OpenAI generator against a server that speaks the protocol."""

import json

import pytest
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from integration.openai.server import FakeOpenAI, error, event
from rtrag.adapters.openai.generator import OpenAIGenerator
from rtrag.domain.errors import ConfigurationError, TerminalError, TransientError
from rtrag.domain.prompt import AnswerDraft, CitedSpan, ContextPassage
from rtrag.ports.generation import TextDelta

PASSAGES = (
    ContextPassage(number=1, title="Prices", heading_path=(), text="Tea costs 2 euros.", chunk_ids=("a",)),
    ContextPassage(number=2, title="Hours", heading_path=(), text="Open until six.", chunk_ids=("b",)),
)
ANSWER = "“Tea” costs\n2 € [1]. 😀"
REPLY = {"answer": ANSWER, "citations": [{"number": 1, "quote": "Tea costs 2 euros."}], "sufficient": True}
DRAFT = AnswerDraft(text=ANSWER, citations=(CitedSpan(number=1, quote="Tea costs 2 euros."),), sufficient=True)


def generator(server: FakeOpenAI) -> OpenAIGenerator:
    server.script.content = server.script.content or json.dumps(REPLY)
    return OpenAIGenerator(server.client(), model="test-model", max_output_tokens=99)


async def streamed(generator: OpenAIGenerator) -> tuple[list[str], AnswerDraft]:
    items = [item async for item in generator.stream("What is tea?", PASSAGES)]
    *pieces, draft = items
    assert isinstance(draft, AnswerDraft)
    return [piece.text for piece in pieces if isinstance(piece, TextDelta)], draft


async def test_the_answer_comes_back_with_its_citations(server: FakeOpenAI) -> None:
    assert await generator(server).generate("What is tea?", PASSAGES) == DRAFT


async def test_the_request_holds_instructions_passages_question_and_schema(server: FakeOpenAI) -> None:
    await generator(server).generate("What is \ud800 tea?", PASSAGES)
    (request,) = server.script.requests
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert "Tea costs 2 euros." in request["messages"][1]["content"]
    assert "What is ? tea?" in request["messages"][1]["content"]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert (request["temperature"], request["max_tokens"]) == (0.0, 99)


@pytest.mark.parametrize("piece", [1, 3, 1000])
async def test_a_stream_gives_the_text_of_the_answer_in_pieces_and_then_the_draft(
    server: FakeOpenAI, piece: int
) -> None:
    server.script.piece = piece
    pieces, draft = await streamed(generator(server))
    assert "".join(pieces) == ANSWER
    assert len(pieces) > 5 or piece == 1000
    assert draft == DRAFT


async def test_a_server_without_schemas_is_asked_for_json_and_then_for_text(server: FakeOpenAI) -> None:
    server.script.refused_formats = frozenset({"json_schema"})
    asked = generator(server)
    assert await asked.generate("What is tea?", PASSAGES) == DRAFT
    server.script.refused_formats = frozenset({"json_schema", "json_object"})
    pieces, draft = await streamed(asked)
    assert ("".join(pieces), draft) == (ANSWER, DRAFT)
    kinds = [request.get("response_format", {}).get("type") for request in server.script.requests]
    assert kinds == ["json_schema", "json_object", "json_object", None]


async def test_a_reply_in_plain_text_is_streamed_whole(server: FakeOpenAI) -> None:
    server.script.content = "Tea costs 2 euros [1]."
    pieces, draft = await streamed(generator(server))
    assert pieces == ["Tea costs 2 euros [1]."]
    assert draft == AnswerDraft(text=pieces[0], citations=(CitedSpan(number=1),), sufficient=True)


async def test_a_refusal_is_an_answer_that_does_not_suffice(server: FakeOpenAI) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    server.script.replies = [lambda _: JSONResponse(body)]
    expected = AnswerDraft(text="I cannot help with that.", citations=(), sufficient=False)
    assert await generator(server).generate("?", PASSAGES) == expected


async def test_an_answer_that_is_too_long_says_which_setting_to_raise(server: FakeOpenAI) -> None:
    server.script.finish = "length"
    asked = generator(server)
    with pytest.raises(TerminalError, match="MAX_OUTPUT_TOKENS"):
        await asked.generate("?", PASSAGES)
    with pytest.raises(TerminalError, match="MAX_OUTPUT_TOKENS"):
        await streamed(asked)


async def test_a_stream_that_ends_early_is_no_answer(server: FakeOpenAI) -> None:
    server.script.finish = None
    with pytest.raises(TransientError, match="broke off"):
        await streamed(generator(server))


async def test_an_error_inside_a_stream_is_not_swallowed(server: FakeOpenAI) -> None:
    parts = [
        event([{"index": 0, "delta": {"content": '{"answer": "Te'}, "finish_reason": None}]),
        'data: {"error": {"message": "The engine is overloaded", "type": "server_error"}}\n\n',
    ]
    server.script.replies = [lambda _: StreamingResponse(iter(parts), media_type="text/event-stream")]
    with pytest.raises(TransientError, match="overloaded"):
        await streamed(generator(server))


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        (401, {}, ConfigurationError),
        (403, {}, ConfigurationError),
        (404, {"code": "model_not_found"}, ConfigurationError),
        (400, {"param": "temperature"}, ConfigurationError),
        (400, {"code": "context_length_exceeded"}, TerminalError),
        (429, {}, TransientError),
        (500, {}, TransientError),
    ],
)
async def test_errors_say_what_to_do(
    server: FakeOpenAI, status: int, fields: dict[str, str], expected: type[Exception]
) -> None:
    server.script.replies = [error(status, "No.", headers=None, **fields)] * 2
    asked = generator(server)
    with pytest.raises(expected):
        await asked.generate("?", PASSAGES)
    with pytest.raises(expected):
        await streamed(asked)
    assert len(server.script.requests) == 2


async def test_a_page_in_place_of_an_answer_is_no_answer(server: FakeOpenAI) -> None:
    server.script.replies = [lambda _: HTMLResponse("<html>Sign in</html>")]
    with pytest.raises(TransientError, match="does not answer as OpenAI"):
        await generator(server).generate("?", PASSAGES)


async def test_the_model_id_tells_settings_apart(server: FakeOpenAI) -> None:
    client = server.client()
    ids = {
        OpenAIGenerator(client, model="a").model_id,
        OpenAIGenerator(client, model="b").model_id,
        OpenAIGenerator(client, model="a", temperature=0.5).model_id,
        OpenAIGenerator(client, model="a", max_output_tokens=5).model_id,
    }
    assert len(ids) == 4

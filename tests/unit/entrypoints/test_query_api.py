"""Asking over HTTP."""

import json
from dataclasses import fields

import httpx
import pytest

from rtrag.domain.conditions import Condition
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import InvalidRequestError, ServiceUnavailableError
from rtrag.entrypoints.http.schemas import ANSWER, AnswerOut
from rtrag.testing.state import FIRST_LSN, FakeState, dead_letter

ASK = {"query": "How long are sessions kept?"}


async def test_an_answer_says_what_it_rests_on_and_what_it_reflects(client: httpx.AsyncClient) -> None:
    response = await client.post("/query", json=ASK)
    assert response.status_code == 200
    answer = ANSWER.validate_json(response.content, strict=True)
    assert answer.answer == "Sessions are kept for 30 days. [1]"
    assert answer.sufficient
    assert [(c.number, c.document, c.version) for c in answer.citations] == [(1, "public.documents/doc-1", 1)]
    assert [source.id for source in answer.sources] == ["doc-1"]
    assert answer.as_of.position == "0/1000000"
    assert set(response.json()) == {field.name for field in fields(AnswerOut)}


async def test_filters_become_conditions(client: httpx.AsyncClient, state: FakeState) -> None:
    filters = {"team": "platform", "size": {"gte": 5, "lt": 100}, "kind": ["a", "b"], "flag": True, "x": {"ne": 1.5}}
    assert (await client.post("/query", json={**ASK, "filters": filters})).status_code == 200
    assert state.questions[-1].conditions == (
        Condition(field="team", operator="eq", value="platform"),
        Condition(field="size", operator="lt", value=100),
        Condition(field="size", operator="gte", value=5),
        Condition(field="kind", operator="in", value=("a", "b")),
        Condition(field="flag", operator="eq", value=True),
        Condition(field="x", operator="ne", value=1.5),
    )
    assert state.questions[-1].conditions[4].value is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": "   "}, "query"),
        ({"query": "x", "page": 0}, "page"),
        ({"query": "x", "page_size": 101}, "page_size"),
        ({"query": "x", "page_sise": 5}, "page_sise"),
        ({"query": "x" * 8_001}, "query"),
        ({"query": "x", "wait_ms": -1}, "wait_ms"),
        ({"query": "x", "filters": {"team": []}}, "filters"),
        ({"query": "x", "filters": {"team": None}}, "filters"),
        ({"query": "x", "filters": {"team": {"between": 3}}}, "filters"),
    ],
)
async def test_a_question_that_is_not_valid_is_refused_by_field(
    client: httpx.AsyncClient, body: dict[str, object], field: str
) -> None:
    response = await client.post("/query", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert any(f"body.{field}" in error["field"] for error in response.json()["errors"])


async def test_an_empty_range_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/query", json={**ASK, "filters": {"size": {}}})
    assert response.status_code == 422
    assert "'size'" in response.json()["detail"]


@pytest.mark.parametrize("body", ["{", "", "[1]", '"text"', "nul", "\xff"])
async def test_a_body_that_is_no_json_object_is_refused(client: httpx.AsyncClient, body: str) -> None:
    response = await client.post("/query", content=body, headers={"content-type": "application/json"})
    assert response.status_code in {400, 422}
    assert response.json()["type"].startswith("urn:rtrag:problem:")


async def test_a_token_is_accepted_in_the_body_and_in_the_header(client: httpx.AsyncClient, state: FakeState) -> None:
    token = "public.documents/doc-1@0/1000000"
    assert (await client.post("/query", json={**ASK, "min_position": token})).status_code == 200
    assert (await client.post("/query", json=ASK, headers={"X-Freshness-Token": token})).status_code == 200
    for question in state.questions:
        assert question.token is not None
        assert str(question.token) == token


async def test_two_different_tokens_are_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/query", json={**ASK, "min_position": "0/1"}, headers={"X-Freshness-Token": "0/2"})
    assert response.status_code == 422


@pytest.mark.parametrize("token", ["yesterday", "0/xyz", "@0/1", "documents@0/1"])
async def test_what_is_no_token_is_refused(client: httpx.AsyncClient, token: str) -> None:
    response = await client.post("/query", json={**ASK, "min_position": token})
    assert response.status_code == 422
    assert "not a freshness token" in response.json()["detail"]


async def test_a_token_that_is_not_reached_is_503_with_retry_after(client: httpx.AsyncClient, state: FakeState) -> None:
    state.held_at = FIRST_LSN
    response = await client.post("/query", json={**ASK, "min_position": "0/2000000"})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["type"] == "urn:rtrag:problem:freshness-timeout"


async def test_a_token_of_a_document_with_an_open_letter_is_424(client: httpx.AsyncClient, state: FakeState) -> None:
    key = DocumentKey("public.documents", ("doc-1",))
    state.letters[key] = dead_letter(key)
    response = await client.post("/query", json={**ASK, "min_position": f"{key}@0/1"})
    assert response.status_code == 424
    assert "the embedder refused it" in response.json()["detail"]


async def test_an_unknown_collection_is_404(client: httpx.AsyncClient) -> None:
    response = await client.post("/query", json={**ASK, "collection": "nowhere"})
    assert response.status_code == 404
    assert "'nowhere'" in response.json()["detail"]


async def test_the_delay_that_a_dependency_asks_for_is_passed_on(client: httpx.AsyncClient, state: FakeState) -> None:
    state.failure = ServiceUnavailableError("The embedder is away.", retry_after=6.2)
    response = await client.post("/query", json=ASK)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert response.json()["detail"] == "The embedder is away."


async def test_the_sources_come_in_pages(client: httpx.AsyncClient) -> None:
    body = {"query": "sessions backups", "page_size": 1, "page": 2}
    answer = (await client.post("/query", json=body)).json()
    assert [source["rank"] for source in answer["sources"]] == [2]
    assert (answer["total_sources"], answer["page"], answer["page_size"]) == (2, 2, 1)
    assert answer["sources"][0]["id"] == "docs%2Fa.md"


async def test_the_collections_are_listed_with_the_default_first(client: httpx.AsyncClient) -> None:
    found = (await client.get("/collections")).json()["collections"]
    assert found == [
        {"name": "documents", "tables": ["public.documents"], "writable": True},
        {"name": "archive", "tables": ["public.archive"], "writable": False},
    ]


def events_of(text: str) -> list[tuple[str, dict[str, object]]]:
    """The events of a stream."""
    blocks = [block.splitlines() for block in text.replace("\r\n", "\n").strip().split("\n\n")]
    pairs = [dict(line.split(": ", 1) for line in block) for block in blocks]
    return [(pair["event"], json.loads(pair["data"])) for pair in pairs]


@pytest.mark.parametrize(
    ("path", "extra", "accept"),
    [
        ("/query/stream", {}, "*/*"),
        ("/query", {"stream": True}, "*/*"),
        ("/query", {}, "text/event-stream"),
    ],
)
async def test_a_stream_brings_sources_then_text_then_the_whole_answer(
    client: httpx.AsyncClient, path: str, extra: dict[str, bool], accept: str
) -> None:
    response = await client.post(path, json={**ASK, **extra}, headers={"accept": accept})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    names = [name for name, _ in events]
    assert names == ["retrieval", *["delta"] * (len(names) - 2), "answer"]
    text = "".join(str(data["text"]) for name, data in events if name == "delta").strip()
    assert text == events[-1][1]["answer"]
    assert events[0][1]["total_sources"] == 1


async def test_what_fails_before_the_first_event_is_an_ordinary_error(
    client: httpx.AsyncClient, state: FakeState
) -> None:
    state.failure = InvalidRequestError("Metadata field 'x' cannot be filtered by.")
    response = await client.post("/query/stream", json=ASK)
    assert response.status_code == 422
    assert response.json()["detail"] == "Metadata field 'x' cannot be filtered by."


@pytest.mark.parametrize(
    ("failure", "status", "detail"),
    [(ServiceUnavailableError("The model is away."), 503, "The model is away."), (OSError("secret path"), 500, None)],
)
async def test_a_stream_that_breaks_off_ends_in_an_error_event(
    client: httpx.AsyncClient, state: FakeState, failure: Exception, status: int, detail: str | None
) -> None:
    state.stream_failure = failure
    response = await client.post("/query/stream", json=ASK)
    name, problem = events_of(response.text)[-1]
    assert (name, problem["status"]) == ("error", status)
    assert "secret" not in response.text
    assert detail is None or problem["detail"] == detail

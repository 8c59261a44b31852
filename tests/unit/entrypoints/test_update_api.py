"""Reading and writing documents over HTTP."""

import httpx
import pytest

from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import TooSlowError
from rtrag.entrypoints.http.update_schemas import DocumentOut, WrittenOut
from rtrag.testing.state import FakeState, dead_letter

DOCUMENT = {"id": "new", "title": "New", "content": "Text.", "metadata": {"a": [1, {"b": None}]}}


async def test_a_new_document_is_answered_with_its_token_and_place(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/documents", json=DOCUMENT)
    assert response.status_code == 201
    written = WrittenOut.model_validate_json(response.content, strict=True)
    assert written.token == response.headers["x-freshness-token"] == "public.documents/new@0/1000001"
    assert response.headers["etag"] == '"1"'
    found = await client.get(response.headers["location"])
    assert found.json()["metadata"] == DOCUMENT["metadata"]


async def test_a_write_is_answered_by_a_query_with_its_token(client: httpx.AsyncClient) -> None:
    token = (await client.post("/api/documents", json=DOCUMENT)).headers["x-freshness-token"]
    answer = await client.post("/query", json={"query": "new"}, headers={"X-Freshness-Token": token})
    assert answer.json()["citations"][0]["id"] == "new"


async def test_an_id_that_is_taken_is_a_conflict(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/documents", json={**DOCUMENT, "id": "doc-1"})
    assert response.status_code == 409


@pytest.mark.parametrize(
    ("plain", "path"),
    [
        ("docs/a.md", "docs/a.md"),
        ("docs/a.md", "docs%2Fa.md"),
        ("100% sure?", "100%25%20sure%3F"),
        ("schlüssel#1", "schl%C3%BCssel%231"),
        ("a+b&c=d", "a%2Bb%26c%3Dd"),
        ("x/api/documents/y", "x%2Fapi%2Fdocuments%2Fy"),
    ],
)
async def test_any_id_can_be_read_by_its_path(
    client: httpx.AsyncClient, state: FakeState, plain: str, path: str
) -> None:
    state.rows.clear()
    made = await client.post("/api/documents", json={"id": plain, "content": "Text."})
    document_id = made.json()["id"]
    for tail in (path, document_id):
        found = await client.get(f"/api/documents/{tail}")
        assert found.status_code == 200, found.text
        assert found.json()["id"] == document_id
        assert DocumentKey.parse(found.json()["key"]).values == (plain,)


async def test_only_what_is_given_is_changed(client: httpx.AsyncClient) -> None:
    response = await client.put("/api/documents/doc-1", json={"content": "Sessions are kept for 60 days."})
    assert response.status_code == 200
    document = DocumentOut.model_validate(response.json()["document"])
    assert (document.title, document.content, document.version) == ("Sessions", "Sessions are kept for 60 days.", 2)
    assert document.metadata["team"] == "platform"
    assert response.headers["etag"] == '"2"'


@pytest.mark.parametrize(
    ("headers", "extra", "status"),
    [
        ({"If-Match": '"1"'}, {}, 200),
        ({"If-Match": "*"}, {}, 200),
        ({}, {"version": 1}, 200),
        ({"If-Match": '"1"'}, {"version": 1}, 200),
        ({"If-Match": '"7"'}, {}, 412),
        ({"If-Match": "something"}, {}, 412),
        ({}, {"version": 7}, 409),
        ({"If-Match": '"1"'}, {"version": 7}, 422),
    ],
)
async def test_a_change_of_another_version_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str], extra: dict[str, int], status: int
) -> None:
    response = await client.put("/api/documents/doc-1", json={"title": "T", **extra}, headers=headers)
    assert response.status_code == status
    unchanged = (await client.get("/api/documents/doc-1")).json()["title"]
    assert unchanged == ("T" if status == 200 else "Sessions")


async def test_a_change_of_nothing_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.put("/api/documents/doc-1", json={"version": 1})
    assert response.status_code == 422
    assert "nothing to change" in response.json()["detail"]


async def test_a_deleted_document_is_gone_and_its_token_is_given(client: httpx.AsyncClient) -> None:
    assert (await client.delete("/api/documents/doc-1", headers={"If-Match": '"9"'})).status_code == 412
    assert (await client.delete("/api/documents/doc-1?version=9")).status_code == 409
    response = await client.delete("/api/documents/doc-1")
    assert response.status_code == 200
    assert response.json()["document"] is None
    assert response.headers["x-freshness-token"].startswith("public.documents/doc-1@")
    assert (await client.get("/api/documents/doc-1")).status_code == 404
    assert (await client.delete("/api/documents/doc-1")).status_code == 404


async def test_documents_are_listed_in_pages_and_searched(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/documents?limit=1&offset=1")).json()
    assert ([d["id"] for d in page["documents"]], page["total"]) == (["docs%2Fa.md"], 2)
    found = (await client.get("/api/documents", params={"search": "NIGHT"})).json()
    assert ([d["title"] for d in found["documents"]], found["total"]) == (["Backups"], 1)


async def test_a_listing_that_took_too_long_says_what_to_do_and_not_to_repeat_it(
    client: httpx.AsyncClient, state: FakeState
) -> None:
    state.failure = TooSlowError("It took too long. Search for something longer.")
    response = await client.get("/api/documents?search=a")
    assert (response.status_code, response.json()["type"]) == (504, "urn:rtrag:problem:too-slow")
    assert "Search for something longer" in response.json()["detail"]
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "offset=-1", "limit=many"])
async def test_a_page_that_cannot_be_is_refused(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/api/documents?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"].startswith("query.")


@pytest.mark.parametrize(
    "body",
    [
        '{"content": "nul \\u0000"}',
        '{"content": "lone \\ud800"}',
        '{"content": "x", "metadata": {"a": "\\u0000"}}',
        '{"content": "x", "metadata": {"\\u0000": 1}}',
        '{"content": "x", "metadata": {"a": NaN}}',
        '{"content": "x", "metadata": {"a": [Infinity]}}',
        '{"content": "x", "metadata": {"a": "\\ud800"}}',
        '{"content": "x", "metadata": ' + '{"a":' * 40 + "1" + "}" * 40 + "}",
        '{"content": "x", "metadata": [1]}',
        '{"content": "x", "id": ""}',
        '{"title": "no content"}',
        '{"content": 5}',
        "[" * 100_000,
    ],
)
async def test_what_postgres_could_not_store_is_refused(client: httpx.AsyncClient, body: str) -> None:
    response = await client.post("/api/documents", content=body, headers={"content-type": "application/json"})
    assert response.status_code in {400, 413, 422}, response.text
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_read_only_collection_says_what_it_allows(client: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("POST", "/api/documents", {"content": "x"}),
        ("PUT", "/api/documents/doc-1", {"content": "x"}),
        ("DELETE", "/api/documents/doc-1", None),
    ):
        response = await client.request(method, path, json=body, params={"collection": "archive"})
        assert response.status_code == 405
        assert response.headers["allow"] == "GET"
        assert "PostgreSQL" in response.json()["detail"]


async def test_waiting_returns_when_the_write_is_visible(client: httpx.AsyncClient, state: FakeState) -> None:
    assert (await client.get("/api/freshness", params={"token": "0/1000000"})).json() == {
        "token": "0/1000000",
        "visible": True,
    }
    assert (await client.get("/api/freshness", params={"token": "0/2000000", "wait_ms": 5})).status_code == 503
    assert (await client.get("/api/freshness", params={"token": "soon"})).status_code == 422
    key = DocumentKey("public.documents", ("doc-1",))
    state.letters[key] = dead_letter(key)
    assert (await client.get("/api/freshness", params={"token": f"{key}@0/1"})).status_code == 424

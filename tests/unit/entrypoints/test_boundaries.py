"""What surrounds every request: problems, sizes, keys, origins, hosts, ids, roles."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from rtrag.domain.errors import ConfigurationError, NotReadyError, TerminalError
from rtrag.testing.state import FakeState

ClientFactory = Callable[..., httpx.AsyncClient]
ASK = {"query": "sessions"}


def assert_problem(response: httpx.Response, status: int, name: str) -> None:
    """The response is a problem of this kind, whole."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "request_id", "errors"}
    assert (body["status"], body["type"]) == (status, f"urn:rtrag:problem:{name}")
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["detail"]


async def test_a_path_that_is_not_there_is_a_problem(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/nothing"), 404, "no-such-path")


async def test_a_method_that_is_not_there_is_a_problem_with_allow(client: httpx.AsyncClient) -> None:
    response = await client.get("/query")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("failure", [ZeroDivisionError("secret"), TerminalError("secret")])
async def test_an_error_nobody_foresaw_tells_nothing_but_its_id(
    client: httpx.AsyncClient, state: FakeState, failure: Exception
) -> None:
    state.failure = failure
    response = await client.post("/query", json=ASK, headers={"X-Request-ID": "call-7"})
    assert_problem(response, 500, "internal")
    assert response.headers["x-request-id"] == "call-7"
    assert "secret" not in response.text


async def test_a_wrong_configuration_is_told_with_its_fix_to_this_machine_alone(
    client_for: ClientFactory, state: FakeState
) -> None:
    state.failure = ConfigurationError("llm.internal answered 401.", fix="set OPENAI_API_KEY.")
    async with client_for() as here, client_for(address="192.0.2.7") as elsewhere:
        response = await here.post("/query", json=ASK)
        assert_problem(response, 503, "misconfigured")
        assert response.json()["detail"] == "llm.internal answered 401. Fix: set OPENAI_API_KEY."
        assert "retry-after" not in response.headers
        response = await elsewhere.post("/query", json=ASK)
        assert_problem(response, 503, "misconfigured")
        assert "llm.internal" not in response.text


async def test_a_service_that_is_starting_is_503(client: httpx.AsyncClient, state: FakeState) -> None:
    state.failure = NotReadyError()
    response = await client.post("/query", json=ASK)
    assert_problem(response, 503, "not-ready")
    assert response.headers["retry-after"] == "1"


async def test_a_request_id_that_could_break_a_log_is_replaced(client: httpx.AsyncClient) -> None:
    response = await client.get("/health", headers={"X-Request-ID": 'a" b'})
    assert '"' not in response.headers["x-request-id"]


async def test_a_body_above_the_limit_is_refused_by_its_header(client_for: ClientFactory) -> None:
    async with client_for(max_body_bytes=1_000) as client:
        assert_problem(await client.post("/api/documents", json={"content": "x" * 2_000}), 413, "too-large")
        assert (await client.post("/api/documents", json={"content": "x" * 900})).status_code == 201


async def test_a_body_above_the_limit_is_refused_while_it_is_read(client_for: ClientFactory) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for piece in (b'{"content": "', *[b"x" * 500] * 20, b'"}'):
            sent += 1
            yield piece

    async with client_for(max_body_bytes=1_000) as client:
        response = await client.post("/api/documents", content=body(), headers={"content-type": "application/json"})
    assert_problem(response, 413, "too-large")
    assert sent < 10


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://localhost:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_foreign_page_cannot_write(
    client: httpx.AsyncClient, state: FakeState, method: str, headers: dict[str, str]
) -> None:
    before = dict(state.rows)
    path = "/api/documents" if method == "POST" else "/api/documents/doc-1"
    response = await client.request(method, path, json={"content": "changed"}, headers=headers)
    assert_problem(response, 403, "foreign-origin")
    assert state.rows == before


async def test_a_page_of_the_server_itself_can_write(client: httpx.AsyncClient) -> None:
    headers = {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
    assert (await client.post("/api/documents", json={"content": "x"}, headers=headers)).status_code == 201


async def test_an_origin_that_is_allowed_can_write_and_read_the_token(client_for: ClientFactory) -> None:
    origin = "https://app.example"
    async with client_for(allowed_origins=(origin,)) as client:
        preflight = await client.options(
            "/api/documents", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert preflight.headers["access-control-allow-origin"] == origin
        response = await client.post("/api/documents", json={"content": "x"}, headers={"Origin": origin})
        assert response.status_code == 201
        assert "X-Freshness-Token" in response.headers["access-control-expose-headers"]
        other = await client.post("/api/documents", json={"content": "x"}, headers={"Origin": "https://other.example"})
        assert other.status_code == 403
        assert "access-control-allow-origin" not in other.headers


async def test_no_page_may_read_across_origins_by_default(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/documents", headers={"Origin": "https://evil.example"})
    assert not any(name.startswith("access-control-") for name in response.headers)
    preflight = await client.options(
        "/api/documents", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    )
    assert not any(name.startswith("access-control-") for name in preflight.headers)


@pytest.mark.parametrize("path", ["/api/documents?search=a", "/metrics", "/health", "/openapi.json"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
async def test_a_foreign_page_cannot_make_the_server_work(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    assert_problem(await client.get(path, headers=headers), 403, "foreign-origin")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_a_program_an_address_bar_and_a_page_of_ours_can_read(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in ("/api/documents", "/docs", "/metrics"):
        assert (await client.get(path, headers=headers)).status_code == 200


async def test_a_link_on_another_site_leads_to_the_open_pages_alone(client: httpx.AsyncClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for path in ("/", "/docs"):
        assert (await client.get(path, headers=link)).status_code == 200
    assert_problem(await client.get("/api/documents", headers=link), 403, "foreign-origin")
    assert_problem(await client.post("/docs", headers=link), 403, "foreign-origin")


async def test_an_origin_that_is_allowed_can_read(client_for: ClientFactory) -> None:
    origin = "https://app.example"
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    async with client_for(allowed_origins=(origin,)) as client:
        response = await client.get("/api/documents", headers=headers)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, origin)
        other = await client.get("/api/documents", headers={**headers, "Origin": "https://other.example"})
        assert_problem(other, 403, "foreign-origin")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_that_a_form_could_send_is_refused(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(
        "/api/documents", content=b'{"content": "x"}', headers={"content-type": content_type} if content_type else {}
    )
    assert_problem(response, 415, "not-json")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "127.0.0.1.evil", "172.18.0.5.evil"]
)
async def test_a_name_that_was_rebound_to_us_is_refused(client: httpx.AsyncClient, host: str) -> None:
    for path in ("/api/documents", "/health"):
        assert_problem(await client.get(path, headers={"Host": host}), 421, "foreign-host")


@pytest.mark.parametrize("host", ["172.18.0.5:8001", "10.0.0.1", "[fd00::5]:8001"])
async def test_an_address_cannot_be_rebound_and_is_let_in(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000", "localhost.:8000"])
async def test_the_names_of_the_loopback_interface_are_ours(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/health", headers={"Host": host})).status_code == 200


async def test_keys_are_needed_where_they_are_configured(client_for: ClientFactory) -> None:
    async with client_for(api_keys=("first-key", "zweiter-schlüssel")) as client:
        response = await client.post("/query", json=ASK)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/health", "/ready", "/", "/docs", "/docs/assets/swagger-ui.css"):
            assert (await client.get(path)).status_code == 200
        for path in ("/metrics", "/api/documents", "/collections", "/health/"):
            assert (await client.get(path)).status_code == 401
        for headers in (
            {"Authorization": "Bearer first-key"},
            {"authorization": "bearer  first-key "},
            {"X-API-Key": "first-key"},
        ):
            assert (await client.post("/query", json=ASK, headers=headers)).status_code == 200
        for headers in (
            {"Authorization": "Bearer first-ke"},
            {"Authorization": "Basic first-key"},
            {"Authorization": "Bearer"},
            {"X-API-Key": ""},
            {"X-API-Key": "wrong", "Authorization": "Bearer first-key"},
        ):
            assert (await client.post("/query", json=ASK, headers=headers)).status_code == 401
        encoded = {b"X-API-Key": "zweiter-schlüssel".encode()}
        assert (await client.post("/query", json=ASK, headers=encoded)).status_code == 200


async def test_each_role_shows_its_own_paths_alone(client_for: ClientFactory) -> None:
    async with client_for(role="query") as client:
        assert (await client.post("/query", json=ASK)).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
        for path in ("/api/documents", "/api/metrics", "/api/dead-letters", "/api/pipeline/status"):
            assert (await client.get(path)).status_code == 404
    async with client_for(role="update") as client:
        assert (await client.get("/api/documents")).status_code == 200
        assert (await client.get("/api/metrics")).status_code == 200
        assert (await client.post("/query", json=ASK)).status_code == 404
        assert (await client.get("/metrics")).status_code == 404


async def test_the_first_page_links_what_is_there(client_for: ClientFactory) -> None:
    async with client_for(role="query") as client:
        page = (await client.get("/")).text
    assert 'href="/docs"' in page
    assert 'href="/query"' in page
    assert "/api/documents" not in page

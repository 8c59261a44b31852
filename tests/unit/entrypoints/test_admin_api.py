"""Watching and mending over HTTP."""

import math

import httpx
import pytest

from rtrag.application.services import Difference
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.testing.state import FakeState, dead_letter

KEYS = [DocumentKey("public.documents", (name,)) for name in ("a", "docs/b.md", "c/replay")]


@pytest.fixture(autouse=True)
def _letters(state: FakeState) -> None:
    for key in KEYS:
        state.letters[key] = dead_letter(key)


async def test_letters_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    first = (await client.get("/api/dead-letters?limit=2")).json()
    assert [letter["key"] for letter in first["dead_letters"]] == ["public.documents/a", "public.documents/c%2Freplay"]
    assert first["total"] == 3
    rest = (await client.get("/api/dead-letters", params={"limit": 2, "after": first["next_after"]})).json()
    assert [letter["key"] for letter in rest["dead_letters"]] == ["public.documents/docs%2Fb.md"]
    assert rest["next_after"] is None


async def test_a_letter_is_shown_with_its_cause(client: httpx.AsyncClient) -> None:
    for key in KEYS:
        letter = (await client.get(f"/api/dead-letters/{key}")).json()
        assert (letter["key"], letter["cause"]) == (str(key), "the embedder refused it")
    assert (await client.get("/api/dead-letters/public.documents/zzz")).status_code == 404
    assert (await client.get("/api/dead-letters/nothing")).status_code == 404


async def test_a_replay_closes_what_was_mended_and_says_what_was_not(
    client: httpx.AsyncClient, state: FakeState
) -> None:
    state.mended = {KEYS[0], KEYS[2]}
    one = (await client.post(f"/api/dead-letters/{KEYS[2]}/replay")).json()
    assert one == {
        "outcomes": [{"key": str(KEYS[2]), "closed": True, "cause": None}],
        "closed": 1,
        "still_open": 0,
    }
    rest = (await client.post("/api/dead-letters/replay")).json()
    assert (rest["closed"], rest["still_open"]) == (1, 1)
    assert set(state.letters) == {KEYS[1]}


async def test_a_letter_can_be_forgotten_once(client: httpx.AsyncClient, state: FakeState) -> None:
    assert (await client.delete(f"/api/dead-letters/{KEYS[1]}")).status_code == 204
    assert KEYS[1] not in state.letters
    assert (await client.delete(f"/api/dead-letters/{KEYS[1]}")).status_code == 404


async def test_verify_reports_and_repairs(client: httpx.AsyncClient, state: FakeState) -> None:
    state.differences = [Difference(kind="missing", key="public.documents/x", detail="not in the index")]
    report = (await client.post("/api/verify")).json()
    assert (report["consistent"], report["repaired"], report["differences"][0]["kind"]) == (False, 0, "missing")
    mended = (await client.post("/api/verify", json={"repair": True})).json()
    assert (mended["consistent"], mended["repaired"], mended["differences"]) == (True, 1, [])


async def test_the_status_has_watermarks_and_counts(client: httpx.AsyncClient) -> None:
    status = (await client.get("/api/pipeline/status")).json()
    assert (status["phase"], status["visible_lsn"], status["counts"]["documents"]) == ("live", "0/1000000", 2)
    assert (status["dead_letters"], status["slot"]["retained_bytes"]) == (3, 4096)


async def test_readiness_is_red_with_reasons(client: httpx.AsyncClient, state: FakeState) -> None:
    assert (await client.get("/ready")).status_code == 200
    state.ready, state.problems = False, ("The first copy is at 10 of 100 rows; wait.",)
    response = await client.get("/ready")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["problems"] == ["The first copy is at 10 of 100 rows; wait."]


async def test_health_lives_on_when_a_dependency_does_not(client: httpx.AsyncClient, state: FakeState) -> None:
    assert (await client.get("/health")).json()["status"] == "degraded"
    state.letters.clear()
    assert (await client.get("/health")).json()["status"] == "ok"
    state.failure = ServiceUnavailableError("PostgreSQL is away.")
    response = await client.get("/health")
    assert (response.status_code, response.json()["problems"]) == (200, ["PostgreSQL is away."])
    assert (await client.get("/ready")).status_code == 503


PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


@pytest.mark.parametrize("path", ["/metrics", "/api/metrics"])
@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        ("*/*", False),
        ("application/json", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("text/plain;q=0.1, application/json", False),
        ("text/plain", True),
        (PROMETHEUS, True),
    ],
)
async def test_numbers_come_as_json_unless_text_is_asked_for(
    client: httpx.AsyncClient, path: str, accept: str, is_text: bool
) -> None:
    response = await client.get(path, headers={"accept": accept})
    assert response.headers["content-type"].startswith("text/plain" if is_text else "application/json")


async def test_the_text_format_counts_queries(client: httpx.AsyncClient, state: FakeState) -> None:
    await client.post("/query", json={"query": "sessions"})
    state.failure = ServiceUnavailableError()
    await client.post("/query", json={"query": "sessions"})
    state.failure = None
    text = (await client.get("/metrics", headers={"accept": PROMETHEUS})).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values["query_latency_seconds_count"] == values['query_latency_seconds_bucket{le="+Inf"}'] == "1"
    assert values["query_failures_total"] == "1"
    assert float(values["update_lag_seconds"]) == 0.0015
    assert (values["updates_total"], values["slot_retained_bytes"], values["dead_letters_open"]) == ("2", "4096", "3")
    assert values["slot_active"] == "1", "a scrape refuses any value that is no number"
    assert all(math.isfinite(float(value)) for value in values.values())
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert text.endswith("\n")
    numbers = (await client.get("/metrics")).json()
    assert (numbers["queries"]["count"], numbers["queries"]["failures"]) == (1, 1)

"""Who is told what a dependency says of itself."""

import ast
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from rtrag.domain.errors import ServiceUnavailableError
from rtrag.entrypoints.http.discretion import OTHERWISE, in_short
from rtrag.testing.state import FakeState

ClientFactory = Callable[..., httpx.AsyncClient]
APPLICATION = Path(__file__).resolve().parents[3] / "src" / "rtrag" / "application"
WORDS = "connection to db.internal, user rag_user, failed"
PROBLEM = f"No stream of changes at the moment, reconnecting: {WORDS}"
SHORT = "PostgreSQL: no stream of changes, reconnecting."


async def problems_of(client: httpx.AsyncClient, headers: dict[str, str] | None = None) -> list[list[str]]:
    """What /health and /ready say."""
    return [(await client.get(path, headers=headers)).json()["problems"] for path in ("/health", "/ready")]


async def test_a_caller_without_a_key_is_told_in_short_and_the_log_in_full(
    client_for: ClientFactory, state: FakeState, caplog: pytest.LogCaptureFixture
) -> None:
    state.ready, state.problems = False, (PROBLEM, "public.documents: column salary is gone")
    async with client_for(api_keys=("key",)) as client:
        for headers in ({}, {"X-API-Key": "wrong"}):
            assert await problems_of(client, headers) == [[SHORT, OTHERWISE]] * 2
        assert [record.levelno for record in caplog.records if WORDS in record.getMessage()] == [logging.WARNING]
        assert await problems_of(client, {"X-API-Key": "key"}) == [list(state.problems)] * 2


async def test_a_dependency_that_is_away_is_told_in_short_as_well(client_for: ClientFactory, state: FakeState) -> None:
    state.failure = ServiceUnavailableError(f"PostgreSQL failed while reading: {WORDS}")
    async with client_for(api_keys=("key",)) as client:
        assert await problems_of(client) == [["PostgreSQL: it failed or does not answer."]] * 2


async def test_without_keys_only_this_machine_is_told_in_full(client_for: ClientFactory, state: FakeState) -> None:
    state.ready, state.problems = False, (PROBLEM,)
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        async with client_for(address=address) as client:
            assert await problems_of(client) == [[PROBLEM]] * 2
            assert await problems_of(client, {"X-Forwarded-For": "203.0.113.9"}) == [[SHORT]] * 2
    for address in ("203.0.113.9", "10.0.0.2", "not an address"):
        async with client_for(address=address) as client:
            assert await problems_of(client) == [[SHORT]] * 2


def named_problems() -> Iterator[str]:
    """The beginnings of all problems that the application names in its own words."""
    for path in sorted(APPLICATION.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 2:
                of_problems = ast.unparse(node.func.value).endswith("problems") and node.func.attr == "set"
                text = node.args[1].values[0] if isinstance(node.args[1], ast.JoinedStr) else node.args[1]
                if (of_problems or node.func.attr == "_set_phase") and isinstance(text, ast.Constant):
                    yield str(text.value)


def test_every_problem_that_the_pipeline_names_has_a_short_form() -> None:
    found = list(named_problems())
    assert len(found) >= 8
    assert [text for text in found if in_short(text) == OTHERWISE] == []

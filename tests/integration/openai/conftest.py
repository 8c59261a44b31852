"""One fake server for the tests of a module, with a fresh script for each."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import fields

import pytest

from integration.openai.server import FakeOpenAI, Script, running


@pytest.fixture(scope="module")
def _server() -> Iterator[FakeOpenAI]:
    with running() as server:
        yield server


@pytest.fixture
async def server(_server: FakeOpenAI) -> AsyncIterator[FakeOpenAI]:
    fresh = Script()
    for item in fields(Script):
        setattr(_server.script, item.name, getattr(fresh, item.name))
    yield _server
    await _server.close()

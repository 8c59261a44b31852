"""A Qdrant server for tests of several processes: the real one where there is one, else a stand-in."""

import os
from collections.abc import Iterator

import pytest

from qdrant_stand_in.process import StandIn, running_stand_in


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The session's stand-in for a Qdrant server; each test makes a collection of its own, none stops it."""
    with running_stand_in(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture(scope="session")
def qdrant_url(request: pytest.FixtureRequest) -> str:
    """The server that ``QDRANT_URL`` names; where it names none, the stand-in."""
    named = os.environ.get("QDRANT_URL")
    if named:
        return named
    running: StandIn = request.getfixturevalue("stand_in")
    return running.url

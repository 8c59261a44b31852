"""A fresh server for each test: most of them do it harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.redis.server import REDIS, RedisServer, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(REDIS, tmp_path) as server:
        yield server

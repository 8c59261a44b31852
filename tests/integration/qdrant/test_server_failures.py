"""A Qdrant server that is away, slow, busy, old or locked: what is raised when the index is opened."""

import socket
from dataclasses import replace

import pytest

from contract.index_contract import DIMENSIONS
from integration.qdrant.http_server import Reply, http_server
from rtrag.adapters.qdrant.server import open_qdrant_index
from rtrag.adapters.qdrant.server_settings import QdrantSettings
from rtrag.domain.errors import ConfigurationError, RtragError, ServiceUnavailableError


async def opening(settings: QdrantSettings) -> None:
    async with open_qdrant_index(settings, DIMENSIONS):
        raise AssertionError("this index must not open")


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
async def test_a_server_that_is_away_is_named(prefer_grpc: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = QdrantSettings(url=url, prefer_grpc=prefer_grpc, grpc_port=port, timeout_seconds=5)
    with pytest.raises(ServiceUnavailableError, match=url):
        await opening(settings)


@pytest.mark.parametrize(
    ("reply", "ours"),
    [
        (Reply(status=401), ConfigurationError),
        (Reply(status=403), ConfigurationError),
        (Reply(status=429), ServiceUnavailableError),
        (Reply(status=500), ServiceUnavailableError),
        (Reply(status=503, body="starting"), ServiceUnavailableError),
        (Reply(body="not JSON at all"), ServiceUnavailableError),
        (Reply(silent=True), ServiceUnavailableError),
    ],
    ids=["no key", "wrong key", "busy", "failing", "starting", "not Qdrant", "silent"],
)
async def test_a_server_in_trouble_is_named_with_what_to_do(reply: Reply, ours: type[RtragError]) -> None:
    async with http_server(reply) as server:
        with pytest.raises(ours, match=server.url):
            await opening(QdrantSettings(url=server.url, timeout_seconds=1))


async def test_a_busy_server_says_when_to_come_back() -> None:
    async with http_server(Reply(status=429, headers=("Retry-After: 3",))) as server:
        with pytest.raises(ServiceUnavailableError) as caught:
            await opening(QdrantSettings(url=server.url))
    assert caught.value.retry_after == 3.0


async def test_a_server_without_conditional_updates_is_refused() -> None:
    async with http_server(Reply(body='{"title":"qdrant - vector search engine","version":"1.16.3"}')) as server:
        with pytest.raises(ConfigurationError, match=r"1\.16\.3.*Upgrade it to 1\.17"):
            await opening(QdrantSettings(url=server.url))


async def test_the_key_goes_with_every_request_and_into_no_message() -> None:
    async with http_server(Reply(status=401)) as server:
        settings = QdrantSettings(url=server.url, api_key="very-secret")
        with pytest.raises(ConfigurationError) as caught:
            await opening(settings)
    assert all("api-key: very-secret" in request.lower() for request in server.requests)
    assert server.requests
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:6333", "http://[::1"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await opening(replace(QdrantSettings(url=url), timeout_seconds=1))

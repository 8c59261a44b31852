"""The contract of indexes, on the one in memory, the embedded one, and the one on a server.

There is no server to install from the package registries. So the last runs on the local mode of the server's client,
which imitates a server; on the engine that a server is made of, in process and behind an HTTP layer of our own (which
shows that both sides of the wire are understood); and on a real server where ``QDRANT_URL`` names one
(``QDRANT_API_KEY`` its key), by REST and by gRPC; each test makes a collection of its own there and deletes it.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.index_contract import DIMENSIONS, IndexContract
from contract.qdrant_engine import EngineClient
from contract.qdrant_servers import LOCAL_MODE_WARNING, collection_on_server, local_client, needs_server
from qdrant_stand_in.process import StandIn
from rtrag.adapters.qdrant.edge import EdgeIndex, open_edge_index
from rtrag.adapters.qdrant.server import QdrantIndex, open_qdrant_index
from rtrag.adapters.qdrant.server_settings import QdrantSettings
from rtrag.testing.index import InMemoryIndex


class TestInMemoryIndex(IndexContract):
    @pytest.fixture
    def index(self) -> InMemoryIndex:
        return InMemoryIndex()


class TestEdgeIndex(IndexContract):
    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[EdgeIndex]:
        async with open_edge_index(tmp_path / "index", DIMENSIONS) as index:
            yield index


@pytest.mark.filterwarnings(LOCAL_MODE_WARNING)
class TestQdrantIndexOnTheLocalMode(IndexContract):
    @pytest.fixture
    async def index(self) -> AsyncIterator[QdrantIndex]:
        async with (
            local_client() as client,
            open_qdrant_index(QdrantSettings(url=":memory:"), DIMENSIONS, client=client) as index,
        ):
            yield index


class TestQdrantIndexOnTheEngine(IndexContract):
    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[QdrantIndex]:
        client = EngineClient(tmp_path)
        settings = QdrantSettings(url="in process")
        async with open_qdrant_index(settings, DIMENSIONS, client=client.as_client()) as index:
            yield index
        await client.close()


class TestQdrantIndexOverHttp(IndexContract):
    @pytest.fixture
    async def index(self, stand_in: StandIn) -> AsyncIterator[QdrantIndex]:
        async with (
            collection_on_server(stand_in.url) as settings,
            open_qdrant_index(settings, DIMENSIONS) as index,
        ):
            yield index


@needs_server
@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
class TestQdrantIndexOnAServer(IndexContract):
    @pytest.fixture
    async def index(self, qdrant_url: str, prefer_grpc: bool) -> AsyncIterator[QdrantIndex]:
        async with (
            collection_on_server(qdrant_url, prefer_grpc=prefer_grpc) as settings,
            open_qdrant_index(settings, DIMENSIONS) as index,
        ):
            yield index

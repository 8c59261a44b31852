"""The contract of indexes, on the one in memory and on the embedded one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.index_contract import DIMENSIONS, IndexContract
from rtrag.adapters.qdrant.edge import EdgeIndex, open_edge_index
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

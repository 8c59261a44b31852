"""The collection behind the alias: made once, completed, refused where it does not fit."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client.models import Distance, VectorParams

from contract.index_contract import DIMENSIONS, KEY, at, chunk, found, manifest
from contract.qdrant_engine import EngineClient
from contract.qdrant_servers import LOCAL_MODE_WARNING, collection_on_server, local_client, needs_server
from rtrag.adapters.qdrant.lexical import LexicalSettings
from rtrag.adapters.qdrant.server import open_qdrant_index
from rtrag.adapters.qdrant.server_collection import physical_name
from rtrag.adapters.qdrant.server_settings import QdrantSettings, description
from rtrag.domain.conditions import Condition
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError
from rtrag.domain.manifest import PutTableState, SwitchManifest, TableState, UpsertChunks

pytestmark = pytest.mark.filterwarnings(LOCAL_MODE_WARNING)
SETTINGS = QdrantSettings(url=":memory:", collection="docs")
BASE_INDEXES = {"table", "kind", "place", "epoch", "lsn", "ordinal"}


class DyingClient:
    """Makes its requests up to one that never leaves."""

    def __init__(self, client: EngineClient, last_call: str) -> None:
        self._client = client
        self._last_call = last_call

    def __getattr__(self, name: str) -> Any:
        if name == self._last_call:
            raise ConnectionError("the process was killed here")
        return getattr(self._client, name)


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    async with local_client() as opened:
        yield opened


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EngineClient]:
    opened = EngineClient(tmp_path)
    yield opened
    await opened.close()


async def opening(client: AsyncQdrantClient, settings: QdrantSettings, dimensions: int = DIMENSIONS) -> None:
    async with open_qdrant_index(settings, dimensions, model="words", client=client):
        pass


async def test_what_was_written_is_there_when_the_index_is_opened_again(client: AsyncQdrantClient) -> None:
    async with open_qdrant_index(SETTINGS, DIMENSIONS, client=client) as index:
        await index.write([SwitchManifest(manifest=manifest(at(1)), replaces=None)])
    async with open_qdrant_index(SETTINGS, DIMENSIONS, client=client) as index:
        assert await index.state() == "clean"
        assert set((await index.records([KEY])).manifests) == {KEY}
    assert len((await client.get_collections()).collections) == 1


async def test_an_index_is_reached_by_its_alias(client: AsyncQdrantClient) -> None:
    await opening(client, SETTINGS)
    (alias,) = (await client.get_aliases()).aliases
    assert alias.alias_name == "docs"
    assert alias.collection_name == physical_name("docs", description(SETTINGS, DIMENSIONS, "words"))


@pytest.mark.parametrize(
    ("settings", "dimensions", "different"),
    [
        (SETTINGS, 8, "another embedding model.*dimensions: 4 there, 8 wanted"),
        (replace(SETTINGS, lexical=LexicalSettings(language="german")), 4, "other settings.*lexical.language"),
        (replace(SETTINGS, lexical=LexicalSettings(max_token_length=9)), 4, "other settings.*max_token_length: None"),
    ],
)
async def test_an_index_made_otherwise_is_refused(
    client: AsyncQdrantClient, settings: QdrantSettings, dimensions: int, different: str
) -> None:
    await opening(client, SETTINGS)
    with pytest.raises(ConfigurationError, match=f"(?s){different}.*Fix: "):
        await opening(client, settings, dimensions)


async def test_an_index_of_another_model_is_refused(client: AsyncQdrantClient) -> None:
    await opening(client, SETTINGS)
    with pytest.raises(ConfigurationError, match="model: words there, others wanted"):
        async with open_qdrant_index(SETTINGS, DIMENSIONS, model="others", client=client):
            pass


async def test_a_collection_of_somebody_else_is_left_alone(client: AsyncQdrantClient) -> None:
    await client.create_collection("docs", vectors_config=VectorParams(size=3, distance=Distance.DOT))
    with pytest.raises(ConfigurationError, match="that is not ours"):
        await opening(client, SETTINGS)
    assert (await client.get_aliases()).aliases == []


async def test_two_that_open_at_once_share_one_collection(client: AsyncQdrantClient) -> None:
    await asyncio.gather(*(opening(client, SETTINGS) for _ in range(4)))
    assert len((await client.get_collections()).collections) == 1


@pytest.mark.parametrize("last_call", ["create_payload_index", "update_collection_aliases"])
async def test_what_an_interrupted_start_has_made_is_completed(engine: EngineClient, last_call: str) -> None:
    dying: Any = DyingClient(engine, last_call)
    with pytest.raises(ServiceUnavailableError, match="the process was killed here"):
        await opening(dying, SETTINGS)
    assert len((await engine.get_collections()).collections) == 1
    assert (await engine.get_aliases()).aliases == []
    await opening(engine.as_client(), SETTINGS)
    assert set((await engine.get_collection("docs")).payload_schema) == BASE_INDEXES


async def test_indexes_are_made_before_the_first_value(engine: EngineClient) -> None:
    async with open_qdrant_index(SETTINGS, DIMENSIONS, client=engine.as_client()) as index:
        assert set((await engine.get_collection("docs")).payload_schema) == BASE_INDEXES
        await index.write([UpsertChunks(points=(chunk(1, at(1), filterable={"team": "red", "a.b": 7}),))])
    made = set((await engine.get_collection("docs")).payload_schema) - BASE_INDEXES
    kinds = ("text", "number", "flag")
    assert made == {f'"filter_{kind}:{name}"' for kind in kinds for name in ("team", "a.b")}


async def test_another_process_finds_what_was_written_with_a_new_field(engine: EngineClient) -> None:
    async with (
        open_qdrant_index(SETTINGS, DIMENSIONS, client=engine.as_client()) as reader,
        open_qdrant_index(SETTINGS, DIMENSIONS, client=engine.as_client()) as writer,
    ):
        conditions = (Condition(field="team", operator="eq", value="red"),)
        assert await found(reader, conditions=conditions) == set()
        point = chunk(1, at(1), filterable={"team": "red"})
        await writer.write([UpsertChunks(points=(point,))])
        assert await found(reader, conditions=conditions) == {point.id}


@needs_server
@pytest.mark.parametrize(
    "settings",
    [
        QdrantSettings(url="", quantization="scalar", on_disk=True),
        QdrantSettings(url="", quantization="turbo"),
        QdrantSettings(url="", graph=False, shard_number=2),
    ],
    ids=["scalar on disk", "turbo", "no graph"],
)
async def test_every_way_to_store_it_works_on_a_server(qdrant_url: str, settings: QdrantSettings) -> None:
    async with (
        collection_on_server(qdrant_url, settings) as placed,
        open_qdrant_index(placed, DIMENSIONS) as index,
    ):
        point = chunk(1, at(1))
        await index.write([UpsertChunks(points=(point,)), PutTableState(state=TableState(table="t"))])
        assert await found(index) == {point.id}

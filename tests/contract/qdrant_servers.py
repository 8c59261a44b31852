"""Qdrant servers for tests: the client's local mode and a stand-in always, a real one where ``QDRANT_URL`` names it.

The stand-in (``qdrant_stand_in``) is the real engine behind an HTTP layer of our own. A server's gRPC port is taken
from ``QDRANT_GRPC_PORT``, 6334 if that is not set.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from qdrant_client import AsyncQdrantClient

from rtrag.adapters.qdrant.server_settings import QdrantSettings

URL = os.environ.get("QDRANT_URL")
API_KEY = os.environ.get("QDRANT_API_KEY")
GRPC_PORT = int(os.environ.get("QDRANT_GRPC_PORT", "6334"))

needs_server = pytest.mark.skipif(URL is None, reason="QDRANT_URL names no server")
LOCAL_MODE_WARNING = "ignore:Payload indexes have no effect in the local Qdrant:UserWarning"


@asynccontextmanager
async def local_client() -> AsyncIterator[AsyncQdrantClient]:
    """A client with the whole server inside, in memory."""
    client = AsyncQdrantClient(location=":memory:")
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def collection_on_server(
    url: str, settings: QdrantSettings | None = None, *, prefer_grpc: bool = False
) -> AsyncIterator[QdrantSettings]:
    """Settings for a collection of the test's own on this server; what was made of it is deleted in the end."""
    settings = replace(
        settings or QdrantSettings(url=url),
        url=url,
        api_key=API_KEY,
        collection=f"rtrag-test-{uuid.uuid4().hex[:12]}",
        prefer_grpc=prefer_grpc,
        grpc_port=GRPC_PORT,
        timeout_seconds=60.0,
    )
    try:
        yield settings
    finally:
        await _delete(settings)


async def _delete(settings: QdrantSettings) -> None:
    client = AsyncQdrantClient(url=settings.url, api_key=settings.api_key, timeout=60, check_compatibility=False)
    try:
        for each in (await client.get_collections()).collections:
            if each.name.startswith(f"{settings.collection}-"):
                await client.delete_collection(each.name)
    finally:
        await client.close()

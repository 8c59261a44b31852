"""The index on a Qdrant server or cluster: one collection, shared by any number of processes."""

import asyncio
import math
import time
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from qdrant_client import AsyncQdrantClient
from qdrant_client.models import Filter, ReadConsistencyType, Record

from rtrag.adapters.qdrant.lexical import Lexical
from rtrag.adapters.qdrant.points import KIND, MANIFEST_KINDS, PLACE, RECORD, TABLE, manifest_of, place, source_of
from rtrag.adapters.qdrant.server_collection import OpenCollection, open_collection
from rtrag.adapters.qdrant.server_errors import ServerErrors
from rtrag.adapters.qdrant.server_guards import empty, number, one_of
from rtrag.adapters.qdrant.server_points import DENSE, ChunkPoints, read_chunk, stored_payload, table_state
from rtrag.adapters.qdrant.server_search import ServerSearch
from rtrag.adapters.qdrant.server_settings import DEFAULT_PORT, QdrantSettings
from rtrag.adapters.qdrant.server_write import ServerWriter
from rtrag.domain.chunk import manifest_id, source_id, table_id
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.manifest import ChunkPoint, IndexState, Manifest, Operation, SourceState, TableState
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, SearchRequest
from rtrag.ports.index import Records

_PAGE: Final = 500
_FEW_CHUNKS: Final = 2_000
_COUNT_SHARE: Final = 20  # counting a large collection walks over it: what was counted stands this many times as long
_KINDS: Final = 10


class QdrantIndex:
    """Implements ``rtrag.ports.index.Index``. Made by ``open_qdrant_index``.

    Any number of them, in any number of processes, may work on one collection. What a write returns from is applied
    on every copy that ``write_consistency_factor`` asks for, and records are read from a majority of the copies.
    """

    def __init__(
        self,
        client: AsyncQdrantClient,
        errors: ServerErrors,
        settings: QdrantSettings,
        opened: OpenCollection,
        dimensions: int,
    ) -> None:
        lexical = Lexical(settings.lexical)
        self._client = client
        self._name = settings.collection
        self._while = errors.while_
        self._consistency = ReadConsistencyType.MAJORITY if opened.replicated else None
        self._writer = ServerWriter(client, self._name, opened.indexes, ChunkPoints(lexical, dimensions))
        self._search = ServerSearch(client, self._name, opened.indexes, lexical, quantized=opened.quantized)
        self._settle_seconds = settings.settle_seconds
        self._wrote_at = -math.inf
        self._written = False
        self._counted: tuple[float, Mapping[str, int]] | None = None

    async def records(self, keys: Sequence[DocumentKey], tables: Sequence[str] = ()) -> Records:
        """See ``IndexReader.records``."""
        ids = {manifest_id(key): key for key in keys}
        table_ids = {table_id(table): table for table in tables}
        manifests: dict[DocumentKey, Manifest] = {}
        states = {table: TableState(table=table) for table in tables}
        with self._while("read manifests"):
            for point in await self._retrieve([*ids, *table_ids]):
                record_id = str(point.id)
                if record_id in ids:
                    manifests[ids[record_id]] = manifest_of(stored_payload(point))
                else:
                    states[table_ids[record_id]] = table_state(stored_payload(point))
        return Records(manifests=manifests, tables=states)

    async def chunks(self, ids: Sequence[str], *, with_vectors: bool = False) -> Mapping[str, ChunkPoint]:
        """See ``IndexReader.chunks``. Vectors have unit length."""
        if not ids:
            return {}
        with self._while("read chunks"):
            found = await self._client.retrieve(
                self._name, list(ids), with_payload=[RECORD], with_vectors=[DENSE] if with_vectors else False
            )
            points = [read_chunk(point.payload, point.vector) for point in found]
        return {point.id: point for point in points}

    async def search(self, request: SearchRequest) -> Candidates:
        """See ``IndexReader.search``: one request, unless a condition is met by few and cannot be decided there."""
        with self._while("search"):
            return await self._search.candidates(request)

    async def write(self, operations: Sequence[Operation]) -> None:
        """See ``IndexWriter.write``: one request, unless it would be larger than a server takes."""
        try:
            with self._while("write"):
                await self._writer.write(operations)
        finally:
            self._wrote_at = time.monotonic()

    async def flush(self) -> None:
        """See ``IndexWriter.flush``.

        What a write returned from is in the server's write-ahead log, from which it starts again after a crash. What
        is left is a loss of power before the log is synced: see ``QdrantSettings.settle_seconds``.
        """
        await asyncio.sleep(max(0.0, self._wrote_at + self._settle_seconds - time.monotonic()))

    async def source(self, name: str) -> SourceState | None:
        """See ``IndexWriter.source``."""
        with self._while("read the state of the source"):
            found = await self._retrieve([source_id(name)])
            return source_of(stored_payload(found[0])) if found else None

    async def state(self) -> IndexState:
        """See ``IndexWriter.state``; never unclean, because the server looks after its own ends."""
        if not self._written:
            with self._while("look for points"):
                found, _ = await self._client.scroll(self._name, limit=1, with_payload=False)
            self._written = bool(found)
        return "clean" if self._written else "fresh"

    async def manifests(self, table: str, page: int = _PAGE) -> AsyncIterator[Sequence[Manifest]]:
        """See ``IndexScan.manifests``."""
        match = Filter(must=[one_of(TABLE, [table]), one_of(KIND, MANIFEST_KINDS)])
        async for found in self._walk("walk over the manifests", match, page):
            yield [manifest_of(stored_payload(point)) for point in found]

    async def all_chunks(self, page: int = _PAGE) -> AsyncIterator[Sequence[ChunkPoint]]:
        """See ``IndexScan.all_chunks``."""
        async for found in self._walk("walk over the chunks", Filter(must=[empty(KIND)]), page, vectors=[DENSE]):
            yield [read_chunk(point.payload, point.vector) for point in found]

    async def chunks_between(
        self, above: Position, upto: Position, page: int = _PAGE
    ) -> AsyncIterator[Sequence[ChunkPoint]]:
        """See ``IndexScan.chunks_between``."""
        match = Filter(must=[empty(KIND), number(PLACE, gte=place(above), lte=place(upto))])
        async for found in self._walk("look for chunks written lately", match, page):
            points = (read_chunk(point.payload) for point in found)
            yield [point for point in points if above < point.position <= upto]

    async def tables(self) -> Sequence[TableState]:
        """See ``IndexScan.tables``."""
        match = Filter(must=[one_of(KIND, ["table"])])
        pages = [page async for page in self._walk("read the states of the tables", match, _PAGE)]
        return [table_state(stored_payload(point)) for page in pages for point in page]

    async def counts(self) -> Mapping[str, int]:
        """See ``IndexScan.counts``; of a large index as old as twenty times the time that counting takes."""
        counted = self._counted
        if counted is None or time.monotonic() > counted[0] or counted[1]["chunks"] < _FEW_CHUNKS:
            started = time.monotonic()
            with self._while("count points"):
                kinds = await self._client.facet(self._name, KIND, limit=_KINDS, exact=True)
                total = (await self._client.count(self._name, exact=True)).count
            records = {str(hit.value): hit.count for hit in kinds.hits}
            documents, tombstones = (records.get(kind, 0) for kind in MANIFEST_KINDS)
            chunks = max(0, total - sum(records.values()))
            now = time.monotonic()
            numbers = {"documents": documents, "tombstones": tombstones, "chunks": chunks}
            counted = self._counted = (now + _COUNT_SHARE * (now - started), numbers)
        return counted[1]

    async def _retrieve(self, ids: Sequence[str]) -> list[Record]:
        if not ids:
            return []
        return await self._client.retrieve(self._name, list(ids), with_payload=True, consistency=self._consistency)

    async def _walk(
        self, action: str, match: Filter, page: int, vectors: Sequence[str] = ()
    ) -> AsyncIterator[Sequence[Record]]:
        offset: Any = None
        while True:
            with self._while(action):
                found, offset = await self._client.scroll(
                    self._name,
                    scroll_filter=match,
                    limit=page,
                    offset=offset,
                    with_payload=True,
                    with_vectors=list(vectors) or False,
                    consistency=self._consistency,
                )
            if found:
                yield found
            if offset is None:
                return


@asynccontextmanager
async def open_qdrant_index(
    settings: QdrantSettings, dimensions: int, *, model: str = "", client: AsyncQdrantClient | None = None
) -> AsyncIterator[QdrantIndex]:
    """Open the index on a server, making its collection if there is none.

    ``model`` is the identity of the embedding model. A ``client`` that is given is used as it is and stays open.
    Raises ServiceUnavailableError if the server is away, ConfigurationError if it refuses the key or is too old, or
    if the collection was made with another model or other settings.
    """
    errors = ServerErrors(settings.url)
    ours = _client(settings) if client is None else client
    try:
        opened = await open_collection(ours, errors, settings, dimensions, model)
        yield QdrantIndex(ours, errors, settings, opened, dimensions)
    finally:
        if client is None:
            await ours.close()


def _client(settings: QdrantSettings) -> AsyncQdrantClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a key without TLS: usual between containers
        try:
            return AsyncQdrantClient(
                url=settings.url,
                port=DEFAULT_PORT,
                api_key=settings.api_key,
                timeout=math.ceil(settings.timeout_seconds),
                prefer_grpc=settings.prefer_grpc,
                grpc_port=settings.grpc_port,
                check_compatibility=False,  # it would ask in a thread of its own; the version is checked when opening
            )
        except ValueError as error:
            raise ConfigurationError(
                f"The address of the Qdrant server, {settings.url!r}, cannot be used: {error}.",
                fix="Give it as in http://127.0.0.1:6333.",
            ) from error

"""A Qdrant client whose server is Qdrant's own engine, in process: what the client's local mode only imitates.

The requests of the server adapter are handed to ``qdrant_edge``, which is compiled from the server's own source: the
same filters, payload indexes, conditional updates and searches. It has one shard and one process, so it says nothing
about the network, copies or contending processes; for those there is ``QDRANT_URL``, and ``qdrant_stand_in`` for
contending processes alone.
"""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import qdrant_edge as edge
from qdrant_client import AsyncQdrantClient
from qdrant_client.http import models

from contract.qdrant_engine_catalogue import Catalogue, MadeCollection
from contract.qdrant_engine_filters import edge_filter

_COMPLETED = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
_INDEXES: Mapping[type, edge.PayloadSchemaType] = {
    models.KeywordIndexParams: edge.PayloadSchemaType.Keyword,
    models.FloatIndexParams: edge.PayloadSchemaType.Float,
    models.IntegerIndexParams: edge.PayloadSchemaType.Integer,
}
_MODES = {
    None: None,
    models.UpdateMode.INSERT_ONLY: edge.UpdateMode.InsertOnly,
    models.UpdateMode.UPDATE_ONLY: edge.UpdateMode.UpdateOnly,
}


class EngineClient:
    """As much of ``AsyncQdrantClient`` as the server adapter uses.

    What an update returned from is in the shard's write-ahead log: it is there when the folder is opened again, also
    after the process was killed. Only ``close`` syncs it to the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptions = AsyncQdrantClient(location=":memory:")  # it makes the description of a collection for us
        self._catalogue = Catalogue.read(folder)
        self._shards = {
            name: edge.EdgeShard.load(str(folder / made.folder)) for name, made in self._catalogue.collections.items()
        }

    def as_client(self) -> AsyncQdrantClient:
        return cast(AsyncQdrantClient, self)

    def knows(self, name: str) -> bool:
        """Whether a collection is reached by this name or alias."""
        return self._catalogue.name(name) in self._shards

    async def info(self) -> models.VersionInfo:
        return models.VersionInfo(title="engine", version="1.20.0")

    async def get_aliases(self) -> models.CollectionsAliasesResponse:
        found = [models.AliasDescription(alias_name=a, collection_name=c) for a, c in self._catalogue.aliases.items()]
        return models.CollectionsAliasesResponse(aliases=found)

    async def get_collections(self) -> models.CollectionsResponse:
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=n) for n in self._shards])

    async def collection_exists(self, name: str) -> bool:
        return name in self._shards

    async def create_collection(self, name: str, **options: Any) -> bool:
        dense: models.VectorParams = options["vectors_config"]["dense"]
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir(parents=True)
        config = edge.EdgeConfig(
            vectors={"dense": edge.EdgeVectorParams(size=dense.size, distance=edge.Distance.Cosine)},
            sparse_vectors={"bm25": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        )
        await self._descriptions.create_collection(name, **options)
        info = await self._descriptions.get_collection(name)
        await self._descriptions.delete_collection(name)
        self._shards[name] = edge.EdgeShard.create(str(folder), config)
        self._catalogue.collections[name] = MadeCollection(folder=folder.name, info=info)
        self._catalogue.keep(self._folder)
        return True

    async def delete_collection(self, name: str) -> bool:
        made = self._catalogue.forget(name)
        if made is None:
            return False
        self._catalogue.keep(self._folder)
        self._shards.pop(name).close()
        shutil.rmtree(self._folder / made.folder)
        return True

    async def update_collection_aliases(self, operations: Sequence[models.CreateAliasOperation]) -> bool:
        for each in operations:
            self._catalogue.aliases[each.create_alias.alias_name] = each.create_alias.collection_name
        self._catalogue.keep(self._folder)
        return True

    async def get_collection(self, name: str) -> models.CollectionInfo:
        schema = {
            field: models.PayloadIndexInfo(data_type=models.PayloadSchemaType.KEYWORD, points=index.points)
            for field, index in self._shard(name).info().payload_schema.items()
        }
        info = self._catalogue.collections[self._catalogue.name(name)].info
        return info.model_copy(update={"payload_schema": schema})

    async def create_payload_index(self, name: str, field: str, schema: Any, **_: Any) -> models.UpdateResult:
        self._shard(name).update(edge.UpdateOperation.create_field_index(field, _INDEXES[type(schema)]))
        return _COMPLETED

    async def batch_update_points(
        self, name: str, operations: Sequence[models.UpdateOperation], **_: Any
    ) -> list[models.UpdateResult]:
        for each in operations:
            self._shard(name).update(_operation(each))
        return [_COMPLETED] * len(operations)

    async def retrieve(
        self, name: str, ids: Sequence[str], *, with_payload: Any, with_vectors: Any = False, **_: Any
    ) -> list[models.Record]:
        found = self._shard(name).retrieve(list(ids), with_payload=with_payload, with_vector=with_vectors)
        return [_record(each) for each in found]

    async def scroll(
        self, name: str, *, limit: int, scroll_filter: models.Filter | None = None, **options: Any
    ) -> tuple[list[models.Record], str | None]:
        request = edge.ScrollRequest(
            offset=options.get("offset"),
            limit=limit,
            filter=edge_filter(scroll_filter),
            with_payload=options["with_payload"],
            with_vector=options.get("with_vectors", False),
        )
        found, following = self._shard(name).scroll(request)
        return [_record(each) for each in found], None if following is None else str(following)

    async def query_batch_points(
        self, name: str, requests: Sequence[models.QueryRequest]
    ) -> list[models.QueryResponse]:
        batch = edge.QueryBatchRequest([_query(each) for each in requests])
        pages = cast("list[list[Any]]", self._shard(name).query_batch(batch))
        return [models.QueryResponse(points=[_scored(each) for each in page]) for page in pages]

    async def facet(self, name: str, key: str, *, limit: int, exact: bool) -> models.FacetResponse:
        found = self._shard(name).facet(edge.FacetRequest(key=key, limit=limit, exact=exact))
        return models.FacetResponse(hits=[models.FacetValueHit(value=h.value, count=h.count) for h in found.hits])

    async def count(self, name: str, *, exact: bool) -> models.CountResult:
        return models.CountResult(count=self._shard(name).count(edge.CountRequest(exact=exact)))

    async def close(self) -> None:
        for shard in self._shards.values():
            shard.flush()
            shard.close()
        await self._descriptions.close()

    def _shard(self, name: str) -> edge.EdgeShard:
        return self._shards[self._catalogue.name(name)]


def _operation(operation: models.UpdateOperation) -> edge.UpdateOperation:
    match operation:
        case models.UpsertOperation(upsert=models.PointsList() as upsert):
            points = [edge.Point(point.id, _vectors(point.vector), point.payload) for point in upsert.points]
            mode = _MODES[upsert.update_mode]
            return edge.UpdateOperation.upsert_points(points, edge_filter(upsert.update_filter), mode)
        case models.DeleteOperation(delete=models.FilterSelector(filter=selected)):
            return edge.UpdateOperation.delete_points_by_filter(_given(edge_filter(selected)))
        case models.SetPayloadOperation(set_payload=models.SetPayload(payload=payload, points=ids)):
            return edge.UpdateOperation.set_payload(list(ids or ()), payload)
        case _:
            raise NotImplementedError(type(operation))


def _query(request: Any) -> edge.QueryRequest:
    asked = request.query
    nearest = asked.nearest if isinstance(asked, models.NearestQuery) else asked  # what the client makes of a vector
    return edge.QueryRequest(
        query=edge.Query.Nearest(_vector(nearest), using=request.using),
        limit=request.limit or 10,
        filter=edge_filter(request.filter),
        with_payload=request.with_payload,
    )


def _vectors(vectors: Any) -> dict[str, Any]:
    return {name: _vector(vector) for name, vector in vectors.items()}


def _vector(vector: Any) -> Any:
    return edge.SparseVector(vector.indices, vector.values) if isinstance(vector, models.SparseVector) else vector


def _record(found: Any) -> models.Record:
    dense: Any = {name: vector for name, vector in (found.vector or {}).items() if isinstance(vector, list)}
    return models.Record(id=str(found.id), payload=found.payload, vector=dense)


def _scored(found: Any) -> models.ScoredPoint:
    return models.ScoredPoint(id=str(found.id), version=0, score=found.score, payload=found.payload)


def _given(converted: edge.Filter | None) -> edge.Filter:
    assert converted is not None
    return converted

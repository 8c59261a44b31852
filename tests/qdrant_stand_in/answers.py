"""What each path of a Qdrant server does, done by the engine. What is not done here is refused, never passed over."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from qdrant_client.http import models

from contract.qdrant_engine import EngineClient

Answer = Callable[[EngineClient, str, bytes], Awaitable[object]]
Model = TypeVar("Model", bound=BaseModel)

_QUERY: Final = frozenset({"query", "using", "limit", "filter", "with_payload"})


class RefusedError(Exception):
    """The request is answered with this status, in the words that a server uses."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


def _read(model: type[Model], body: bytes, *fields: str) -> Model:
    """The body of a request, of which only these fields have a meaning here."""
    found = model.model_validate_json(body)
    _require_only(found, fields)
    return found


def _require_only(found: BaseModel, fields: tuple[str, ...] | frozenset[str]) -> None:
    others = {name for name in found.model_fields_set if getattr(found, name) is not None} - set(fields)
    if others:
        raise NotImplementedError(f"the stand-in knows no {', '.join(sorted(others))} in {type(found).__name__}")


async def _collections(engine: EngineClient, _name: str, _body: bytes) -> object:
    return await engine.get_collections()


async def _aliases(engine: EngineClient, _name: str, _body: bytes) -> object:
    return await engine.get_aliases()


async def _change_aliases(engine: EngineClient, _name: str, body: bytes) -> object:
    actions = _read(models.ChangeAliasesOperation, body, "actions").actions
    made = [each for each in actions if isinstance(each, models.CreateAliasOperation)]
    if len(made) < len(actions):
        raise NotImplementedError("the stand-in only makes aliases")
    return await engine.update_collection_aliases(made)


async def _exists(engine: EngineClient, name: str, _body: bytes) -> object:
    return models.CollectionExistence(exists=await engine.collection_exists(name))


async def _create(engine: EngineClient, name: str, body: bytes) -> object:
    if await engine.collection_exists(name):
        raise RefusedError(409, f"Wrong input: Collection `{name}` already exists!")
    copies = ("shard_number", "replication_factor", "write_consistency_factor")  # taken for what they are: one
    wanted = _read(models.CreateCollection, body, "vectors", "sparse_vectors", "metadata", *copies)
    if any(getattr(wanted, each) not in (None, 1) for each in copies):
        raise NotImplementedError("the stand-in has one shard and no copies of it")
    return await engine.create_collection(
        name,
        vectors_config=wanted.vectors,
        sparse_vectors_config=wanted.sparse_vectors,
        metadata=wanted.metadata,
    )


async def _delete(engine: EngineClient, name: str, _body: bytes) -> object:
    return await engine.delete_collection(name)


async def _info(engine: EngineClient, name: str, _body: bytes) -> object:
    return await engine.get_collection(name)


async def _index(engine: EngineClient, name: str, body: bytes) -> object:
    wanted = _read(models.CreateFieldIndex, body, "field_name", "field_schema")
    return await engine.create_payload_index(name, wanted.field_name, wanted.field_schema)


async def _batch(engine: EngineClient, name: str, body: bytes) -> object:
    return await engine.batch_update_points(name, _read(models.UpdateOperations, body, "operations").operations)


async def _retrieve(engine: EngineClient, name: str, body: bytes) -> object:
    wanted = _read(models.PointRequest, body, "ids", "with_payload", "with_vector")
    return await engine.retrieve(name, [str(each) for each in wanted.ids], **_parts(wanted))


async def _scroll(engine: EngineClient, name: str, body: bytes) -> object:
    wanted = _read(models.ScrollRequest, body, "limit", "filter", "offset", "with_payload", "with_vector")
    points, following = await engine.scroll(
        name, limit=wanted.limit or 10, scroll_filter=wanted.filter, offset=wanted.offset, **_parts(wanted)
    )
    return models.ScrollResult(points=points, next_page_offset=following)


async def _query(engine: EngineClient, name: str, body: bytes) -> object:
    searches = _read(models.QueryRequestBatch, body, "searches").searches
    for each in searches:
        _require_only(each, _QUERY)
    return await engine.query_batch_points(name, searches)


async def _facet(engine: EngineClient, name: str, body: bytes) -> object:
    wanted = _read(models.FacetRequest, body, "key", "limit", "exact")
    return await engine.facet(name, wanted.key, limit=wanted.limit or 10, exact=bool(wanted.exact))


async def _count(engine: EngineClient, name: str, body: bytes) -> object:
    wanted = _read(models.CountRequest, body, "exact")
    return await engine.count(name, exact=wanted.exact is not False)


def _parts(wanted: models.PointRequest | models.ScrollRequest) -> dict[str, Any]:
    """Which parts of the points are asked for; a server leaves vectors out and payloads in where nothing is said."""
    payload, vectors = wanted.with_payload, wanted.with_vector
    return {
        "with_payload": True if payload is None else payload,
        "with_vectors": False if vectors is None else vectors,
    }


def _known(answer: Answer) -> Answer:
    """For paths below a collection, which has to be there."""

    async def checked(engine: EngineClient, name: str, body: bytes) -> object:
        if not engine.knows(name):
            raise RefusedError(404, f"Not found: Collection `{name}` doesn't exist!")
        return await answer(engine, name, body)

    return checked


ANSWERS: Final[dict[tuple[str, str], Answer]] = {
    ("GET", "/collections"): _collections,
    ("GET", "/aliases"): _aliases,
    ("POST", "/collections/aliases"): _change_aliases,
    ("GET", "/collections/{name}/exists"): _exists,
    ("PUT", "/collections/{name}"): _create,
    ("DELETE", "/collections/{name}"): _delete,
    ("GET", "/collections/{name}"): _known(_info),
    ("PUT", "/collections/{name}/index"): _known(_index),
    ("POST", "/collections/{name}/points/batch"): _known(_batch),
    ("POST", "/collections/{name}/points"): _known(_retrieve),
    ("POST", "/collections/{name}/points/scroll"): _known(_scroll),
    ("POST", "/collections/{name}/points/query/batch"): _known(_query),
    ("POST", "/collections/{name}/facet"): _known(_facet),
    ("POST", "/collections/{name}/points/count"): _known(_count),
}

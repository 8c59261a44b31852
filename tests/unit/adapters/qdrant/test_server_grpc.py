"""What goes by gRPC says the same as what goes by REST."""

from typing import Any

from qdrant_client import grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.models import DeleteOperation, Filter, FilterSelector, PointsList, UpsertOperation

from contract.index_contract import DIMENSIONS, KEY, at, chunk, chunk_id, manifest, source
from rtrag.adapters.qdrant.lexical import Lexical, LexicalSettings
from rtrag.adapters.qdrant.server_guards import NOTHING_STANDS, above
from rtrag.adapters.qdrant.server_points import ChunkPoints
from rtrag.adapters.qdrant.server_settings import QdrantSettings, description
from rtrag.adapters.qdrant.server_write import server_operations
from rtrag.domain.manifest import (
    ForgetTombstone,
    PutSourceState,
    PutTableState,
    SweepChunks,
    SwitchManifest,
    TableState,
    UpsertChunks,
)
from rtrag.domain.position import MAX_LSN, Position

CHUNK_POINTS = ChunkPoints(Lexical(LexicalSettings()), DIMENSIONS)
FAR = Position(3, MAX_LSN, -1)
OPERATIONS = (
    UpsertChunks(points=(chunk(1, FAR, filterable={"a.b": [1, 2.5, "x", True]}), chunk(2, at(1)))),
    SwitchManifest(manifest=manifest(at(1), 1), replaces=None),
    SwitchManifest(manifest=manifest(FAR, 1), replaces=at(1)),
    SweepChunks(ids=(chunk_id(3),), below=FAR),
    ForgetTombstone(key=KEY, position=FAR),
    PutTableState(state=TableState(table="t", floor=FAR)),
    PutSourceState(state=source(2**60)),
)


def there_and_back(condition: Filter) -> Filter:
    data = RestToGrpc.convert_filter(condition).SerializeToString()
    return GrpcToRest.convert_filter(grpc.Filter.FromString(data))


def plain(condition: Filter) -> object:
    """A filter as plain values; gRPC does not tell an empty list of clauses from none."""

    def without_empty_clauses(value: Any) -> Any:
        if isinstance(value, list):
            return [without_empty_clauses(each) for each in value]
        if isinstance(value, dict):
            clauses = ("must", "should", "must_not")
            return {name: without_empty_clauses(each) for name, each in value.items() if each or name not in clauses}
        return value

    return without_empty_clauses(condition.model_dump(exclude_none=True))


def test_every_guard_arrives_as_it_left() -> None:
    conditions = [NOTHING_STANDS, above(None)]
    for operation in server_operations(OPERATIONS, CHUNK_POINTS):
        match operation:
            case UpsertOperation(upsert=PointsList(update_filter=Filter() as guard)):
                conditions.append(guard)
            case DeleteOperation(delete=FilterSelector(filter=guard)):
                conditions.append(guard)
    assert len(conditions) == 9
    for condition in conditions:
        assert plain(there_and_back(condition)) == plain(condition)


def test_every_operation_can_be_sent_with_its_mode_and_payload() -> None:
    for operation in server_operations(OPERATIONS, CHUNK_POINTS):
        sent = RestToGrpc.convert_update_operation(operation)
        if not isinstance(operation, UpsertOperation):
            continue
        assert isinstance(operation.upsert, PointsList)
        assert sent.upsert.HasField("update_mode") == (operation.upsert.update_mode is not None)
        for point, original in zip(sent.upsert.points, operation.upsert.points, strict=True):
            assert point.id.uuid == original.id
            assert GrpcToRest.convert_payload(point.payload) == original.payload


def test_what_a_collection_was_made_for_comes_back_as_it_was() -> None:
    described = description(QdrantSettings(url=""), 256, "words")
    sent = grpc.CreateCollection(metadata=RestToGrpc.convert_payload(described))
    assert GrpcToRest.convert_payload(sent.metadata) == described

"""Operations become few requests, each point once in each."""

from typing import Any

import pytest
from qdrant_client.models import (
    DeleteOperation,
    PointsList,
    SetPayloadOperation,
    UpdateMode,
    UpdateOperation,
    UpdateResult,
    UpdateStatus,
    UpsertOperation,
)

from contract.index_contract import DIMENSIONS, KEY, OTHER, at, chunk, chunk_id, manifest, source
from rtrag.adapters.qdrant import server_write
from rtrag.adapters.qdrant.lexical import Lexical, LexicalSettings
from rtrag.adapters.qdrant.server_points import ChunkPoints
from rtrag.adapters.qdrant.server_write import ServerWriter, server_operations
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError
from rtrag.domain.manifest import (
    ForgetTombstone,
    Operation,
    PutSourceState,
    PutTableState,
    SweepChunks,
    SwitchManifest,
    TableState,
    UpsertChunks,
)

CHUNK_POINTS = ChunkPoints(Lexical(LexicalSettings()), DIMENSIONS)


def sent(*operations: Operation) -> list[UpdateOperation]:
    return list(server_operations(operations, CHUNK_POINTS))


def points_of(operation: UpdateOperation) -> list[str]:
    assert isinstance(operation, UpsertOperation)
    assert isinstance(operation.upsert, PointsList)
    return [str(point.id) for point in operation.upsert.points]


def mode_of(operation: UpdateOperation) -> UpdateMode | None:
    assert isinstance(operation, UpsertOperation)
    return operation.upsert.update_mode


class RecordingClient:
    """Takes batches and answers as told."""

    def __init__(self, status: UpdateStatus = UpdateStatus.COMPLETED, missing: int = 0) -> None:
        self.batches: list[list[UpdateOperation]] = []
        self.options: list[dict[str, Any]] = []
        self._status = status
        self._missing = missing

    async def batch_update_points(self, name: str, operations: list[UpdateOperation], **options: Any) -> Any:
        self.batches.append(operations)
        self.options.append(options)
        return [UpdateResult(operation_id=1, status=self._status)] * (len(operations) - self._missing)


class NoIndexes:
    async def ensure(self, names: set[str]) -> None:
        assert not names


def writer(client: Any) -> ServerWriter:
    indexes: Any = NoIndexes()
    return ServerWriter(client, "rtrag", indexes, CHUNK_POINTS)


def test_documents_of_a_batch_share_their_operations() -> None:
    keys = [DocumentKey("t", (str(number),)) for number in range(100)]
    chunks = [UpsertChunks(points=(chunk(number, at(number), key=key),)) for number, key in enumerate(keys)]
    switches = [
        SwitchManifest(manifest=manifest(at(9), number, key=key), replaces=at(number) if number % 2 else None)
        for number, key in enumerate(keys)
    ]
    sweeps = [SweepChunks(ids=(chunk_id(number),), below=at(number)) for number in range(100)]
    upserts, inserts, updates, deletes = sent(*chunks, *switches, *sweeps)
    assert [len(points_of(each)) for each in (upserts, inserts, updates)] == [100, 50, 50]
    assert [mode_of(each) for each in (upserts, inserts, updates)] == [
        None,
        UpdateMode.INSERT_ONLY,
        UpdateMode.UPDATE_ONLY,
    ]
    assert isinstance(deletes, DeleteOperation)


def test_of_chunks_with_one_id_only_the_largest_position_is_sent() -> None:
    points = (chunk(1, at(2), "two"), chunk(2, at(1)), chunk(1, at(3), "three"), chunk(1, at(3), "again"))
    (operation,) = sent(UpsertChunks(points=points), UpsertChunks(points=(chunk(1, at(1), "one"),)))
    assert points_of(operation) == [chunk_id(1), chunk_id(2)]
    assert isinstance(operation, UpsertOperation)
    assert isinstance(operation.upsert, PointsList)
    assert "three" in (operation.upsert.points[0].payload or {})["record"]


def test_two_switches_of_one_document_never_share_an_operation() -> None:
    switches = [SwitchManifest(manifest=manifest(at(number + 1)), replaces=at(number)) for number in (1, 2, 3)]
    other = SwitchManifest(manifest=manifest(at(1), key=OTHER), replaces=at(0))
    operations = sent(switches[0], other, *switches[1:])
    assert [len(points_of(each)) for each in operations] == [2, 1, 1]


def test_the_order_of_kinds_stays() -> None:
    put_table = PutTableState(state=TableState(table="t", floor=at(1)))
    operations = sent(
        PutSourceState(state=source(1)),
        put_table,
        SweepChunks(ids=(chunk_id(1),), below=at(1)),
        UpsertChunks(points=(chunk(1, at(1)),)),
        ForgetTombstone(key=KEY, position=at(1)),
    )
    kinds = [type(each) for each in operations]
    assert kinds == [
        UpsertOperation,
        UpsertOperation,
        SetPayloadOperation,
        DeleteOperation,
        UpsertOperation,
        DeleteOperation,
    ]


def test_nothing_is_sent_for_nothing() -> None:
    assert sent(UpsertChunks(points=()), SweepChunks(ids=(), below=at(1))) == []


def test_a_vector_of_another_length_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigurationError, match="has 3 numbers, the index holds 4"):
        sent(UpsertChunks(points=(chunk(1, at(1), dense=(1.0, 0.0, 0.0)),)))


async def test_a_write_is_one_request_that_waits_and_is_ordered() -> None:
    client = RecordingClient()
    points = tuple(chunk(number, at(1)) for number in range(600))
    await writer(client).write([UpsertChunks(points=points), SwitchManifest(manifest=manifest(at(1)), replaces=None)])
    assert [len(batch) for batch in client.batches] == [4]
    assert client.options == [{"wait": True, "ordering": "strong"}]


async def test_what_a_server_would_not_take_at_once_is_sent_in_several_requests_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_write, "REQUEST_BYTES", 300_000)
    client = RecordingClient()
    points = tuple(chunk(number, at(1), "word " * 100) for number in range(1_000))
    await writer(client).write([UpsertChunks(points=points), SwitchManifest(manifest=manifest(at(1)), replaces=None)])
    operations = [operation for batch in client.batches for operation in batch]
    assert len(client.batches) > 2
    assert [identity for each in operations[:-1] for identity in points_of(each)] == [point.id for point in points]
    assert mode_of(operations[-1]) is UpdateMode.INSERT_ONLY


@pytest.mark.parametrize(
    "client",
    [
        RecordingClient(UpdateStatus.ACKNOWLEDGED),
        RecordingClient(UpdateStatus.WAIT_TIMEOUT),
        RecordingClient(missing=1),
    ],
    ids=["acknowledged", "timed out", "left out"],
)
async def test_a_write_that_is_not_completed_is_not_taken_for_done(client: RecordingClient) -> None:
    with pytest.raises(ServiceUnavailableError, match="applied 0 of 1 operations"):
        await writer(client).write([PutSourceState(state=source(1))])

"""The guarded operations as requests to a Qdrant server.

Several processes write, so the server itself compares: every operation carries a condition on the points that stand,
which the server checks and applies as one step, shard by shard and on each copy in the same order. Within one such
operation an id may stand only once, because all its conditions are checked before its first point is written.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, TypeVar, assert_never

from qdrant_client import AsyncQdrantClient
from qdrant_client.models import (
    DeleteOperation,
    Filter,
    FilterSelector,
    PointsList,
    PointStruct,
    SetPayload,
    SetPayloadOperation,
    UpdateMode,
    UpdateOperation,
    UpdateResult,
    UpdateStatus,
    UpsertOperation,
    WriteOrdering,
)

from rtrag.adapters.qdrant.points import KIND, RECORD
from rtrag.adapters.qdrant.server_fields import PayloadIndexes
from rtrag.adapters.qdrant.server_guards import NOTHING_STANDS, above, at, below, guarded, one_of, only
from rtrag.adapters.qdrant.server_points import ChunkPoints, json_bytes, manifest_point, source_point, table_point
from rtrag.domain.chunk import manifest_id
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.domain.manifest import (
    ChunkPoint,
    ForgetTombstone,
    Operation,
    PutSourceState,
    PutTableState,
    SweepChunks,
    SwitchManifest,
    TableState,
    UpsertChunks,
)
from rtrag.domain.position import Position

_T = TypeVar("_T")

POINTS_AT_ONCE: Final = 256
SWEPT_AT_ONCE: Final = 1_000
REQUEST_BYTES: Final = 16_000_000  # half of what a server takes unless it is told otherwise


class ServerWriter:
    """Sends operations: one request, or several where that would be larger than a server takes."""

    def __init__(
        self, client: AsyncQdrantClient, collection: str, indexes: PayloadIndexes, chunk_points: ChunkPoints
    ) -> None:
        self._client = client
        self._collection = collection
        self._indexes = indexes
        self._chunk_points = chunk_points

    async def write(self, operations: Sequence[Operation]) -> None:
        """Apply operations in order; returns when a query sees them. Raises what the client raises.

        A ServiceUnavailableError tells that the server did not say of all of them that they are applied.
        """
        await self._indexes.ensure(_filterable_names(operations))
        for request in _requests(server_operations(operations, self._chunk_points)):
            results = await self._client.batch_update_points(
                self._collection, request, wait=True, ordering=WriteOrdering.STRONG
            )
            _require_completed(results, len(request))
            await asyncio.sleep(0)  # building the next one takes a while


def server_operations(operations: Sequence[Operation], chunk_points: ChunkPoints) -> Iterator[UpdateOperation]:
    """The same operations in the client's words, each guarded; neighbours of a kind become one."""
    for kind, group in groupby(operations, key=type):
        same = list(group)
        if kind is UpsertChunks:
            points = [point for each in same if isinstance(each, UpsertChunks) for point in each.points]
            yield from _upserts(points, chunk_points)
        elif kind is SwitchManifest:
            yield from _switches([each for each in same if isinstance(each, SwitchManifest)])
        elif kind is SweepChunks:
            yield from _sweeps([each for each in same if isinstance(each, SweepChunks)])
        else:
            for each in same:
                yield from _single(each)


def _upserts(points: Iterable[ChunkPoint], chunk_points: ChunkPoints) -> Iterator[UpdateOperation]:
    """Of points with one id the one with the largest position is written: the others would not stay."""
    newest: dict[str, ChunkPoint] = {}
    for point in points:
        standing = newest.get(point.id)
        if standing is None or standing.position < point.position:
            newest[point.id] = point
    for piece in _pieces(newest.values(), POINTS_AT_ONCE, lambda point: point.id):
        guard = guarded(_grouped((point.position, point.id) for point in piece), below)
        yield _upsert([chunk_points.point(point) for point in piece], guard)


def _switches(switches: Sequence[SwitchManifest]) -> Iterator[UpdateOperation]:
    """Compare and swap; switches of different documents do not depend on each other, those of one keep their order."""
    for piece in _pieces(switches, POINTS_AT_ONCE, lambda each: manifest_id(each.manifest.key)):
        first = [each.manifest for each in piece if each.replaces is None]
        if first:
            points = [manifest_point(manifest) for manifest in first]
            yield _upsert(points, NOTHING_STANDS, UpdateMode.INSERT_ONLY)
        following = [(each.replaces, each.manifest) for each in piece if each.replaces is not None]
        if following:
            points = [manifest_point(manifest) for _, manifest in following]
            guard = guarded(_grouped((position, manifest_id(manifest.key)) for position, manifest in following), at)
            yield _upsert(points, guard, UpdateMode.UPDATE_ONLY)


def _sweeps(sweeps: Sequence[SweepChunks]) -> Iterator[UpdateOperation]:
    named = [(each.below, chunk_id) for each in sweeps for chunk_id in each.ids]
    for start in range(0, len(named), SWEPT_AT_ONCE):
        guard = guarded(_grouped(named[start : start + SWEPT_AT_ONCE]), below)
        yield DeleteOperation(delete=FilterSelector(filter=guard))


def _single(operation: Operation) -> Iterator[UpdateOperation]:
    match operation:
        case ForgetTombstone(key=key, position=position):
            tombstone = Filter(must=[one_of(KIND, ["tombstone"]), at(position)])
            yield DeleteOperation(delete=FilterSelector(filter=only([manifest_id(key)], tombstone)))
        case PutTableState(state=state):
            yield from _put_table(state)
        case PutSourceState(state=state):
            yield _upsert([source_point(state)], Filter(must_not=[above(state.position)]))
        case UpsertChunks() | SwitchManifest() | SweepChunks():
            raise AssertionError("these are written in groups")
        case _:
            assert_never(operation)


def _put_table(state: TableState) -> Iterator[UpdateOperation]:
    """The whole state unless a higher floor stands; then all of the state but the floor, which is what the record is.

    What another writer does between the two is no harm: the second then takes effect after it.
    """
    point = table_point(state)
    yield _upsert([point], Filter(must_not=[above(state.floor)]))
    record = {RECORD: (point.payload or {})[RECORD]}
    yield SetPayloadOperation(set_payload=SetPayload(payload=record, points=[point.id]))


def _upsert(points: list[PointStruct], guard: Filter, mode: UpdateMode | None = None) -> UpsertOperation:
    return UpsertOperation(upsert=PointsList(points=points, update_filter=guard, update_mode=mode))


def _requests(operations: Iterable[UpdateOperation]) -> Iterator[list[UpdateOperation]]:
    request: list[UpdateOperation] = []
    size = 0
    for operation in operations:
        more = _size(operation)
        if request and size + more > REQUEST_BYTES:
            yield request
            request, size = [], 0
        request.append(operation)
        size += more
    if request:
        yield request


def _size(operation: UpdateOperation) -> int:
    """About how many bytes an operation takes; what carries no points is small."""
    match operation:
        case UpsertOperation(upsert=PointsList(points=points)):
            return sum(json_bytes(point) for point in points)
        case _:
            return 0


def _require_completed(results: Sequence[UpdateResult], expected: int) -> None:
    completed = sum(result.status == UpdateStatus.COMPLETED for result in results)
    if completed < expected:
        raise ServiceUnavailableError(
            f"The Qdrant server applied {completed} of {expected} operations in time; the same write is tried again."
        )


def _filterable_names(operations: Iterable[Operation]) -> set[str]:
    chunks = (point for each in operations if isinstance(each, UpsertChunks) for point in each.points)
    return {name for point in chunks for name in point.filterable}


def _grouped(items: Iterable[tuple[Position, str]]) -> dict[Position, list[str]]:
    groups: dict[Position, list[str]] = {}
    for position, point_id in items:
        groups.setdefault(position, []).append(point_id)
    return groups


def _pieces(items: Iterable[_T], size: int, identity: Callable[[_T], str]) -> Iterator[list[_T]]:
    """Items in order, at most ``size`` at once and never two of one identity."""
    piece: dict[str, _T] = {}
    for item in items:
        key = identity(item)
        if len(piece) == size or key in piece:
            yield list(piece.values())
            piece = {}
        piece[key] = item
    if piece:
        yield list(piece.values())

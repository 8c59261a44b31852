"""Steps 3 and 4 of the index protocol (docs/architecture.md): write planned changes, switch, and read back.

Correct with any number of workers holding the same documents: every write is guarded, and what another worker
or a TRUNCATE did meanwhile is found by reading back. The protocol is model-checked in tests/protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtrag.domain.chunk import Vector
from rtrag.domain.coalesce import Coalesced
from rtrag.domain.manifest import Manifest, Operation, SweepChunks, SwitchManifest, UpsertChunks
from rtrag.domain.plan import Plan
from rtrag.domain.position import Position
from rtrag.ports.index import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """What is to be written of a document; ``updates`` when a version of it stands already."""

    coalesced: Coalesced
    plan: Plan
    updates: bool


async def switch(index: Index, planned: Sequence[PlannedChange], vectors: Mapping[str, Vector]) -> Sequence[Coalesced]:
    """Make planned changes visible; returns those that others have forestalled, to be planned anew.

    ``vectors`` are those of all added chunks, by fingerprint. Raises TransientError.
    """
    if not planned:
        return ()
    # 3. New chunks first, then the switches: now a query sees them.
    points = tuple(point for item in planned for point in item.plan.points(vectors))
    operations: list[Operation] = [UpsertChunks(points=points)] if points else []
    operations += [SwitchManifest(manifest=i.plan.manifest, replaces=i.plan.replaces) for i in planned]
    await index.write(operations)
    # 4. Read back: sweep, bury or begin again.
    return await _settle(index, planned)


async def bury(index: Index, manifests: Sequence[Manifest], floor: Position) -> None:
    """Turn manifests at or below the floor into tombstones, each only if it still stands, and sweep their chunks."""
    switches: list[Operation] = [
        SwitchManifest(
            manifest=Manifest(key=m.key, position=floor, commit_time=m.commit_time, deleted=True), replaces=m.position
        )
        for m in manifests
    ]
    await index.write(switches)
    after = await index.records([m.key for m in manifests])
    above = Position(floor.epoch, floor.lsn, floor.ordinal + 1)
    buried = [m for m in manifests if _is_tombstone_at(after.manifests.get(m.key), floor)]
    sweeps: list[Operation] = [SweepChunks(ids=m.chunk_ids, below=above) for m in buried if m.chunk_ids]
    if sweeps:
        await index.write(sweeps)


async def _settle(index: Index, planned: Sequence[PlannedChange]) -> Sequence[Coalesced]:
    keys = [item.plan.manifest.key for item in planned]
    after = await index.records(keys, tuple({key.table for key in keys}))
    again: list[Coalesced] = []
    sweeps: list[Operation] = []
    for item in planned:
        own = item.plan.manifest
        floor = after.tables[own.key.table].floor
        standing = after.manifests.get(own.key)
        if floor is not None and floor >= own.position:
            await _bury_own(index, own, standing, floor)
        elif standing is not None and standing.position == own.position:
            if item.plan.dropped:
                sweeps.append(SweepChunks(ids=item.plan.dropped, below=own.position))
        else:
            again.append(item.coalesced)
            if standing is not None and standing.position > own.position:
                sweeps.append(_overtaken(item.plan, standing))
    if sweeps:
        await index.write(sweeps)
    return again


async def _bury_own(index: Index, own: Manifest, standing: Manifest | None, floor: Position) -> None:
    """A TRUNCATE has passed us: turn our manifest into a tombstone and sweep what it listed."""
    if standing is None or standing.position != own.position or standing.deleted:
        return
    await bury(index, [standing], floor)


def _overtaken(plan: Plan, standing: Manifest) -> SweepChunks:
    """What was written for a switch that a newer one has overtaken.

    No other worker can still switch to this version: the compare and swap fails for all who read before, and who
    reads now finds it obsolete. A newer version that has one of these chunks lists it, or writes it above us.
    """
    own, listed = plan.manifest.position, frozenset(standing.chunk_ids)
    stale = tuple(chunk.id for chunk in plan.added if chunk.id not in listed)
    return SweepChunks(ids=stale, below=Position(own.epoch, own.lsn, own.ordinal + 1))


def _is_tombstone_at(manifest: Manifest | None, position: Position) -> bool:
    return manifest is not None and manifest.deleted and manifest.position == position

"""Chunk points that no manifest lists: what a crash between a switch and its sweep leaves behind.

They are invisible. They are swept by id and position: at or below the manifest's that was read or, without a
manifest, below the durable position; otherwise they could be those of a switch that is just being made.
"""

from collections.abc import AsyncIterator, Callable

from rtrag.domain.manifest import ChunkPoint, Operation, SweepChunks
from rtrag.domain.position import Position
from rtrag.ports.index import Index


async def orphans(index: Index, durable: Callable[[], Position]) -> AsyncIterator[tuple[ChunkPoint, Position]]:
    """The orphans there are, each with the position up to which it may be swept."""
    async for page in index.all_chunks():
        records = await index.records(list({point.key for point in page}))
        for point in page:
            manifest = records.manifests.get(point.key)
            limit = durable() if manifest is None else manifest.position
            listed = manifest is not None and point.id in manifest.chunk_ids
            if not listed and point.position <= limit:
                yield point, limit


async def sweep_orphans(index: Index, durable: Callable[[], Position]) -> int:
    """Delete them; returns how many."""
    swept = 0
    async for point, limit in orphans(index, durable):
        above = Position(limit.epoch, limit.lsn, limit.ordinal + 1)
        operations: list[Operation] = [SweepChunks(ids=(point.id,), below=above)]
        await index.write(operations)
        swept += 1
    return swept

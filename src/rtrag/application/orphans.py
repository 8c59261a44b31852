"""Chunk points that no manifest lists: what a crash between a switch and its sweep leaves behind.

They are invisible. They are swept by id and position: at or below the manifest's that was read or, without a
manifest, below the durable position; otherwise they could be those of a switch that is just being made.
"""

from collections.abc import AsyncIterator, Callable, Sequence

from rtrag.domain.manifest import ChunkPoint, SweepChunks
from rtrag.domain.position import Position
from rtrag.ports.index import Index


async def orphans(index: Index, durable: Callable[[], Position]) -> AsyncIterator[tuple[ChunkPoint, Position]]:
    """The orphans there are, each with the position up to which it may be swept."""
    async for page in index.all_chunks():
        for orphan in await _of_page(index, page, durable):
            yield orphan


async def sweep_orphans(index: Index, durable: Callable[[], Position]) -> int:
    """Delete them; returns how many."""
    swept = 0
    async for orphan in orphans(index, durable):
        await _sweep(index, [orphan])
        swept += 1
    return swept


async def sweep_recent_orphans(index: Index, above: Position, durable: Position) -> int:
    """Delete those that were written above one position, up to the durable one; returns how many.

    Where several processes write an index, nobody knows when one of them was killed; looking at what was written
    lately costs as much as was written. Only chunks whose document stands in another version are swept: those of a
    document without a manifest may be those of a repair, which writes rows below the durable position.
    """
    swept = 0
    async for page in index.chunks_between(above, durable):
        found = await _of_page(index, page, None)
        await _sweep(index, found)
        swept += len(found)
    return swept


async def _of_page(
    index: Index, page: Sequence[ChunkPoint], durable: Callable[[], Position] | None
) -> list[tuple[ChunkPoint, Position]]:
    records = await index.records(list({point.key for point in page}))
    found = []
    for point in page:
        manifest = records.manifests.get(point.key)
        if manifest is not None:
            limit = manifest.position
        elif durable is not None:
            limit = durable()
        else:
            continue
        listed = manifest is not None and point.id in manifest.chunk_ids
        if not listed and point.position <= limit:
            found.append((point, limit))
    return found


async def _sweep(index: Index, found: Sequence[tuple[ChunkPoint, Position]]) -> None:
    operations = [
        SweepChunks(ids=(point.id,), below=Position(limit.epoch, limit.lsn, limit.ordinal + 1))
        for point, limit in found
    ]
    if operations:
        await index.write(operations)

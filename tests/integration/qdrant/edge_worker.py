"""A process that writes versions of documents into an embedded index until it is killed.

    python edge_worker.py FOLDER FLUSH_EVERY [compact]

Each document has three chunks, of which every version replaces one. Says when it starts, and each version written.
With ``compact`` it compacts all the time beside the writing.
"""

import asyncio
import sys
from itertools import count
from pathlib import Path

from rtrag.adapters.qdrant.edge import EdgeIndex, EdgeSettings, open_edge_index
from rtrag.domain.chunk import NAMESPACE
from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import ChunkPoint, Manifest, SweepChunks, SwitchManifest, UpsertChunks
from rtrag.domain.position import Position

DIMENSIONS = 8
DOCUMENTS = 20
SETTINGS = EdgeSettings(min_free_bytes=0)


def key_of(document: int) -> DocumentKey:
    return DocumentKey("public.documents", (str(document),))


def chunk_ids(document: int, version: int) -> tuple[str, ...]:
    """Three slots; version v renews slot v % 3."""
    newest = (max(v for v in range(version + 1) if v % 3 == slot or v == 0) for slot in range(3))
    return tuple(f"{slot:08x}-0000-4000-8000-{document:06x}{since:06x}" for slot, since in enumerate(newest))


def chunk(document: int, chunk_id: str, position: Position) -> ChunkPoint:
    return ChunkPoint(
        id=chunk_id,
        key=key_of(document),
        text=f"{chunk_id} {NAMESPACE} " * 20,
        title="",
        heading_path=(),
        kind="body",
        filterable={"document": document},
        position=position,
        dense=[1.0] * DIMENSIONS,
    )


async def advance(index: EdgeIndex, document: int) -> int:
    """Bring a document to its next version: read, write, sweep."""
    key = key_of(document)
    standing = (await index.records([key])).manifests.get(key)
    version = standing.position.lsn + 1 if standing else 0
    position = Position(1, version, 0)
    listed = chunk_ids(document, version)
    old = standing.chunk_ids if standing else ()
    fresh = tuple(chunk(document, each, position) for each in listed if each not in old)
    manifest = Manifest(key=key, position=position, chunk_ids=listed)
    await index.write(
        [
            UpsertChunks(points=fresh),
            SwitchManifest(manifest=manifest, replaces=standing.position if standing else None),
        ]
    )
    dropped = tuple(each for each in old if each not in listed)
    await index.write([SweepChunks(ids=dropped, below=position)])
    return version


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def compact_forever(index: EdgeIndex) -> None:
    while True:
        await index.compact()


async def work(folder: Path, flush_every: int, *, compact: bool) -> None:
    async with open_edge_index(folder, DIMENSIONS, SETTINGS) as index, asyncio.TaskGroup() as tasks:
        if compact:
            tasks.create_task(compact_forever(index))
        say("writing")
        for done in count():
            document = done % DOCUMENTS
            say(f"{document} {await advance(index, document)}")
            if done % flush_every == 0:
                await index.flush()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), compact="compact" in sys.argv[3:]))

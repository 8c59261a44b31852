"""The parties of the model, played by the real application on a real index.

A document of the model with chunks ``("X", "Y")`` is a row with the content ``X\nY\n``, cut at every line.
"""

from collections.abc import Callable
from dataclasses import replace

from application_bench import TABLE, key, upsert
from application_bench import delete as deletion
from protocol import index_protocol_model as model
from protocol.stepped_index import Work
from rtrag.application.clean_up import CleanUp
from rtrag.application.indexer import Indexer
from rtrag.application.memo import EmbeddingMemo
from rtrag.application.totals import Totals
from rtrag.application.vectors import VectorSupply
from rtrag.domain.chunk import Chunk, ChunkingIdentity, content_hash
from rtrag.domain.composition import Chunker, Composer
from rtrag.domain.document import Format
from rtrag.domain.manifest import Operation, PutTableState, SweepChunks, SwitchManifest, TableState
from rtrag.domain.mapping import TableMapping
from rtrag.domain.position import Position
from rtrag.ports.index import Index, Records
from rtrag.testing.dead_letters import ListDeadLetters
from rtrag.testing.embedding import HashEmbedder
from rtrag.testing.index import InMemoryIndex
from rtrag.testing.rows import ListRows

DIMENSIONS = 4
DOCUMENT = "a"
KEY = key(DOCUMENT)


def content(chunks: model.Chunks) -> str:
    return "".join(f"{chunk}\n" for chunk in chunks)


def changes(work: model.Work) -> Work:
    """A worker that applies these changes one after the other, each as a micro-batch of its own."""

    async def run(index: Index) -> None:
        indexer = _indexer(index)
        for item in work:
            if isinstance(item, model.Change):
                if item.chunks is None:
                    change = deletion(item.position, DOCUMENT)
                    await indexer.apply([change], ListRows())
                else:
                    await indexer.apply([upsert(item.position, DOCUMENT, content(item.chunks))], ListRows())

    return run


def truncation(item: model.Truncate) -> Work:
    """Raise the floor, then bury what lies below it."""

    async def run(index: Index) -> None:
        floor = Position(1, item.position, 0)
        await index.write([PutTableState(state=TableState(table=TABLE, floor=floor))])
        await CleanUp(index).sweep(TABLE, floor)

    return run


def verification() -> Work:
    """Sweep chunks that the manifest did not list, at or below its position."""

    async def run(index: Index) -> None:
        manifest = (await index.records([KEY])).manifests.get(KEY)
        if manifest is not None:
            above = replace(manifest.position, ordinal=manifest.position.ordinal + 1)
            # The chunks are looked at when the sweep comes, as in the model: the widest it can reach.
            await index.write([SweepChunks(ids=(UNLISTED, *manifest.chunk_ids), below=above)])

    return run


UNLISTED = "unlisted"

r"""The parties of the model, played by the real application on a real index.

A document of the model with chunks ``("X", "Y")`` is a row with the content ``X\nY\n``, cut at every line.
"""

from dataclasses import replace

from application_bench import TABLE, draft, key, upsert
from application_bench import delete as deletion
from protocol import index_protocol_model as model
from protocol.stepped_index import Work
from rtrag.application.clean_up import CleanUp
from rtrag.application.embedding_memo import EmbeddingMemo
from rtrag.application.indexer import Indexer
from rtrag.application.totals import Totals
from rtrag.application.vectors import VectorSupply
from rtrag.domain.change import Delete, Upsert
from rtrag.domain.chunk import Chunk, ChunkingIdentity
from rtrag.domain.composition import Chunker, Composer
from rtrag.domain.manifest import Manifest, PutTableState, SweepChunks, TableState
from rtrag.domain.mapping import TableMapping
from rtrag.domain.position import Position
from rtrag.ports.index import Index
from rtrag.testing.dead_letters import ListDeadLetters
from rtrag.testing.embedding import HashEmbedder
from rtrag.testing.rows import ListRows

DIMENSIONS = 4
DOCUMENT = "a"
KEY = key(DOCUMENT)
EVERYTHING = Position(2**31, 0, 0)


def composer() -> Composer:
    embedder = HashEmbedder(dimensions=DIMENSIONS)
    return Composer(
        mappings={TABLE: TableMapping(table=TABLE, key_columns=("id",))},
        chunker=Chunker(
            split=lambda content, _: tuple(Chunk(text=line) for line in content.splitlines(keepends=True)),
            header_fields=lambda _content, _format: {},
            detect_format=lambda _name, _content: "text",
            identity=ChunkingIdentity(chunker_version="lines", model_id=embedder.model_id, dimensions=DIMENSIONS),
        ),
        max_bytes=1000,
    )


def content(chunks: model.Chunks) -> str:
    return "".join(f"{chunk}\n" for chunk in chunks)


def chunk_ids(chunks: model.Chunks) -> tuple[str, ...]:
    return tuple(chunk.id for chunk in composer().compose(draft(DOCUMENT, content(chunks))).chunks)


def party(work: model.Work, *, bound: bool = True) -> Work:
    """The worker that plays this part of the model; ``bound`` as in the model, for verify."""
    match work:
        case (model.Truncate() as truncate,):
            return _truncation(truncate)
        case (model.Verify(),):
            return _verification(bound=bound)
        case _:
            return _changes([item for item in work if isinstance(item, model.Change)])


def is_current(manifest: Manifest | None, newest: model.Change | None) -> bool:
    """Whether what stands is what the model says must stand at the end."""
    visible = manifest is not None and not manifest.deleted
    if newest is None or newest.chunks is None:
        return not visible
    return visible and manifest is not None and manifest.chunk_ids == chunk_ids(newest.chunks)


def _change(item: model.Change) -> Upsert | Delete:
    if item.chunks is None:
        return deletion(item.position, DOCUMENT)
    return upsert(item.position, DOCUMENT, content(item.chunks))


def _changes(items: list[model.Change]) -> Work:
    async def run(index: Index) -> None:
        ours = composer()
        embedder = HashEmbedder(dimensions=DIMENSIONS)
        indexer = Indexer(
            index=index,
            vectors=VectorSupply(
                index=index, embedder=embedder, memo=EmbeddingMemo(100), identity=ours.chunker.identity
            ),
            composer=ours,
            dead_letters=ListDeadLetters(),
            totals=Totals(),
        )
        for item in items:
            await indexer.apply([_change(item)], ListRows())

    return run


def _truncation(item: model.Truncate) -> Work:
    async def run(index: Index) -> None:
        floor = Position(1, item.position, 0)
        await index.write([PutTableState(state=TableState(table=TABLE, floor=floor))])
        await CleanUp(index).sweep(TABLE, floor)

    return run


def _verification(*, bound: bool) -> Work:
    """Sweep every chunk that the manifest did not list, at or below the position it had."""

    async def run(index: Index) -> None:
        manifest = (await index.records([KEY])).manifests.get(KEY)
        if manifest is None:
            return
        unlisted = tuple(each for each in chunk_ids(("X", "Y", "Z")) if each not in manifest.chunk_ids)
        below = replace(manifest.position, ordinal=manifest.position.ordinal + 1) if bound else EVERYTHING
        await index.write([SweepChunks(ids=unlisted, below=below)])

    return run

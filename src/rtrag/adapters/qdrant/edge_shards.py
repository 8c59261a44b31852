"""The two Edge shards of an index, and what is read from them.

Every method is one short engine call. Edge holds the interpreter lock while it works, so calls run on the event
loop's thread: a thread of their own would only add its cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    MatchAny,
    MatchValue,
    Modifier,
    PayloadSchemaType,
    ScrollRequest,
    TurboQuantBitSize,
    TurboQuantQuantizationConfig,
    UpdateOperation,
)

from rtrag.adapters.qdrant.points import (
    FILTER,
    KIND,
    PLACE,
    POSITION_FIELDS,
    QUOTE,
    RECORD,
    TABLE,
    Payload,
    path,
    position_of,
    type_of_field,
)
from rtrag.domain.position import Position

DENSE: Final = "dense"
LEXICAL: Final = "bm25"
_UNUSED: Final = "unused"
# A live shard has one segment, so there is nothing to share out: with one thread a search takes 0.2 ms less.
_SEARCH_THREADS: Final = 1
_INDEX_TYPES: Final[Mapping[str, PayloadSchemaType]] = {
    "text": PayloadSchemaType.Keyword,
    "number": PayloadSchemaType.Float,
    "flag": PayloadSchemaType.Keyword,
}


class StoredPoint(NamedTuple):
    """A point as Edge returns it."""

    id: str
    payload: Payload
    vectors: Mapping[str, Any]


def create_chunks(path: Path, dimensions: int) -> EdgeShard:
    """A new shard for chunk points: quantized vectors to scan, full ones to rescore, BM25 with IDF."""
    config = EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dimensions, distance=Distance.Cosine)},
        sparse_vectors={LEXICAL: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        quantization_config=TurboQuantQuantizationConfig(bits=TurboQuantBitSize.Bits4),
        max_search_threads=_SEARCH_THREADS,
    )
    shard = EdgeShard.create(str(path), config)
    shard.update(UpdateOperation.create_field_index(TABLE, PayloadSchemaType.Keyword))
    shard.update(UpdateOperation.create_field_index(PLACE, PayloadSchemaType.Float))
    return shard


def create_records(path: Path) -> EdgeShard:
    """A new shard for records. Edge insists on a vector: a sparse one that no point has costs nothing."""
    path.mkdir()
    config = EdgeConfig(sparse_vectors={_UNUSED: EdgeSparseVectorParams()}, max_search_threads=_SEARCH_THREADS)
    shard = EdgeShard.create(str(path), config)
    for field in (TABLE, KIND):
        shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Keyword))
    return shard


def load(path: Path) -> EdgeShard:
    """Open an existing shard; what its write-ahead log holds is applied."""
    return EdgeShard.load(str(path))


def filter_indexes(shard: EdgeShard) -> set[str]:
    """The fields of filterable metadata that have a payload index.

    A field without one holds no value in any point: the index is made before the first value is written.
    """
    fields = (path.replace(QUOTE, "") for path in shard.info().payload_schema)
    return {field for field in fields if field.startswith(FILTER)}


def create_filter_index(shard: EdgeShard, field: str) -> None:
    """Index a field: without, each search would read every payload (116 ms at 20,000 chunks)."""
    shard.update(UpdateOperation.create_field_index(path(field), _INDEX_TYPES[type_of_field(field)]))


def retrieve(shard: EdgeShard, ids: Sequence[str], *, with_vectors: bool = False) -> list[StoredPoint]:
    """Points by id, those that exist."""
    return [stored(record) for record in shard.retrieve(list(ids), with_payload=True, with_vector=with_vectors)]


def payload_records(shard: EdgeShard, ids: Sequence[str]) -> list[Payload]:
    """What can be read back of the points that exist, and nothing else of them: the cheapest read."""
    found = shard.retrieve(list(ids), with_payload=[RECORD], with_vector=False)
    return [record.payload or {} for record in found]


def positions(shard: EdgeShard, ids: Sequence[str]) -> dict[str, Position]:
    """Positions of the points that exist."""
    found = shard.retrieve(list(ids), with_payload=list(POSITION_FIELDS), with_vector=False)
    return {str(record.id): position_of(record.payload or {}) for record in found}


def existing(shard: EdgeShard, ids: Sequence[str]) -> set[str]:
    """Which of these points exist."""
    return {str(record.id) for record in shard.retrieve(list(ids), with_payload=False, with_vector=False)}


def scroll(
    shard: EdgeShard, offset: str | None, limit: int, *, match: Filter | None = None, with_vectors: bool = False
) -> tuple[list[StoredPoint], str | None]:
    """Points in the order of their ids from ``offset`` on, and the offset of the next page."""
    request = ScrollRequest(offset=offset, limit=limit, filter=match, with_payload=True, with_vector=with_vectors)
    found, following = shard.scroll(request)
    return [stored(record) for record in found], None if following is None else str(following)


def count(shard: EdgeShard, match: Filter | None = None) -> int:
    """How many points match, exactly."""
    return shard.count(CountRequest(exact=True, filter=match))


def keyword(field: str, values: Iterable[str]) -> FieldCondition:
    """The field holds one of these texts."""
    texts = list(values)
    return FieldCondition(key=path(field), match=MatchValue(texts[0]) if len(texts) == 1 else MatchAny(texts))


def stored(record: Any) -> StoredPoint:
    """A record or scored point of Edge, with its id as text."""
    vectors = cast(Mapping[str, Any], record.vector or {})
    return StoredPoint(str(record.id), record.payload or {}, vectors)

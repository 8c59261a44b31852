"""How the index lives on a Qdrant server."""

from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from rtrag.adapters.qdrant.lexical import LexicalSettings

FORMAT: Final = 1  # of the collection and its payloads: raise it when what an earlier version wrote cannot be read
DEFAULT_PORT: Final = 6333


@dataclass(frozen=True, slots=True, kw_only=True)
class QdrantSettings:
    """Where the server is and how a new collection is made; the latter is not changed in one that exists.

    Attributes:
        url: address of the REST interface; without a port, 6333.
        api_key: a key that may read and write the collection, and make it and its alias.
        collection: the alias that the index is reached by; the collection behind it is named after the model.
        timeout_seconds: how long one request may take.
        prefer_grpc: send points and searches by gRPC: a quarter of the bytes, a second port.
        grpc_port: port of the gRPC interface, on the same host.
        shard_number: shards of the collection; None for as many as the cluster has nodes.
        replication_factor: copies of each shard.
        write_consistency_factor: copies that a write has to reach; None for all of them, so that any copy can be read.
        on_disk: leave vectors and payload indexes on disk, for collections larger than memory.
        quantization: a smaller form of the vectors to scan, rescored with the full ones.
        graph: search dense vectors by an HNSW graph; without, every vector is scanned.
        settle_seconds: how long after a write ``flush`` waits. A server keeps what it acknowledged over the end of
            its process, but syncs its log to disk only every few seconds (``flush_interval_sec``, 5 unless changed):
            to lose nothing when the only machine loses power, wait twice as long. Copies on other machines do as well.
        lexical: how words are weighed.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    collection: str = "rtrag"
    timeout_seconds: float = 10.0
    prefer_grpc: bool = False
    grpc_port: int = 6334
    shard_number: int | None = None
    replication_factor: int = 1
    write_consistency_factor: int | None = None
    on_disk: bool = False
    quantization: Literal["none", "scalar", "turbo"] = "none"
    graph: bool = True
    settle_seconds: float = 0.0
    lexical: LexicalSettings = field(default_factory=LexicalSettings)


def description(settings: QdrantSettings, dimensions: int, model: str) -> dict[str, str | float]:
    """What a collection was made for: kept in its metadata, compared when it is opened."""
    lexical = {f"lexical.{name}": value for name, value in asdict(settings.lexical).items() if value is not None}
    return {"format": FORMAT, "model": model, "dimensions": dimensions, **lexical}

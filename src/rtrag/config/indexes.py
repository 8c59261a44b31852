"""Where vectors are kept: the settings of each kind of index."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, SecretStr, Tag

from rtrag.config.kinds import INDEXES, kind_or
from rtrag.config.sources import Section

_FLUSH = "least time between two flushes: how far durable may trail visible"


class EdgeIndex(Section):
    """Qdrant Edge, in process."""

    kind: Literal["edge"] = Field(default="edge", description="where vectors are kept: edge, qdrant")
    flush_seconds: float = Field(default=0.5, ge=0, le=60, description=_FLUSH)


class QdrantIndex(Section):
    """A Qdrant server or cluster, at QDRANT_URL."""

    kind: Literal["qdrant"] = Field(default="qdrant", description="where vectors are kept: edge, qdrant")
    flush_seconds: float = Field(default=0.5, ge=0, le=60, description=_FLUSH)
    api_key: SecretStr | None = Field(default=None, description="key of the server")
    collection: str = Field(
        default="rtrag",
        pattern=r"^[A-Za-z0-9_.-]{1,128}$",
        description="alias that the index is reached by; the collection behind it is named after the model",
    )
    timeout_seconds: float = Field(default=10.0, gt=0, description="how long one request may take")
    prefer_grpc: bool = Field(default=False, description="send points and searches by gRPC")
    grpc_port: int = Field(default=6334, ge=1, le=65535, description="port of gRPC, on the same host")
    shard_number: int | None = Field(
        default=None, ge=1, description="shards of a new collection; unset: one for each node"
    )
    replication_factor: int = Field(default=1, ge=1, description="copies of each shard of a new collection")
    write_consistency_factor: int | None = Field(
        default=None, ge=1, description="copies that a write has to reach; unset: all"
    )
    on_disk: bool = Field(default=False, description="leave vectors and payload indexes on disk")
    quantization: Literal["none", "scalar", "turbo"] = Field(
        default="none", description="smaller form of the vectors to scan, rescored with the full ones"
    )
    graph: bool = Field(default=True, description="search by an HNSW graph; without, every vector is scanned")
    settle_seconds: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="wait so long before what is written counts as durable: for a single node that may lose power",
    )


IndexSettings: TypeAlias = Annotated[
    Annotated[EdgeIndex, Tag("edge")] | Annotated[QdrantIndex, Tag("qdrant")],
    Discriminator(kind_or(INDEXES)),
]

"""The collection behind an index: found by its alias, made if there is none, refused if it was made otherwise."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from qdrant_client import AsyncQdrantClient
from qdrant_client.models import (
    CollectionInfo,
    CreateAlias,
    CreateAliasOperation,
    Distance,
    HnswConfigDiff,
    Modifier,
    QuantizationConfig,
    ScalarQuantization,
    ScalarQuantizationConfig,
    ScalarType,
    SparseIndexParams,
    SparseVectorParams,
    TurboQuantBitSize,
    TurboQuantization,
    TurboQuantQuantizationConfig,
    VectorParams,
)

from rtrag.adapters.qdrant.server_errors import REFUSALS, ServerErrors
from rtrag.adapters.qdrant.server_fields import PayloadIndexes
from rtrag.adapters.qdrant.server_points import DENSE, LEXICAL
from rtrag.adapters.qdrant.server_settings import QdrantSettings, description
from rtrag.domain.errors import ConfigurationError, TerminalError

OLDEST_SERVER: Final = (1, 17)  # the first with upserts that insert only, or update only
_HASH_DIGITS: Final = 10


class OpenCollection(NamedTuple):
    """What is known of a collection once it is open; ``replicated`` when its shards have copies."""

    indexes: PayloadIndexes
    replicated: bool
    quantized: bool


class CollectionOpener:
    """Opens one collection, made for what its description says."""

    def __init__(
        self,
        client: AsyncQdrantClient,
        errors: ServerErrors,
        settings: QdrantSettings,
        description: Mapping[str, str | float],
    ) -> None:
        self._client = client
        self._errors = errors
        self._settings = settings
        self._description = description

    async def open(self) -> OpenCollection:
        """Find or make the collection; raises ConfigurationError if it cannot be used."""
        await self._require_version()
        target = await self._target()
        if target is None:
            await self._make()
            target = await self._target()  # another process may have been faster, with other settings
        info = await self._client.get_collection(target or self._settings.collection)
        self._compare(info.config.metadata or {})
        indexes = await self._indexes(self._settings.collection)
        factor = info.config.params.replication_factor or 1
        return OpenCollection(indexes, replicated=factor > 1, quantized=_is_quantized(info))

    async def _require_version(self) -> None:
        version = (await self._client.info()).version
        numbers = version.split("-")[0].split(".")[:2]
        if all(number.isdecimal() for number in numbers) and tuple(map(int, numbers)) < OLDEST_SERVER:
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise ConfigurationError(
                f"The Qdrant server at {self._errors.server} is version {version}, which lacks conditional updates.",
                fix=f"Upgrade it to {oldest} or later.",
            )

    async def _target(self) -> str | None:
        """The collection that the alias stands for."""
        alias = self._settings.collection
        for each in (await self._client.get_aliases()).aliases:
            if each.alias_name == alias:
                return each.collection_name
        if any(each.name == alias for each in (await self._client.get_collections()).collections):
            raise ConfigurationError(
                f"The Qdrant server at {self._errors.server} has a collection {alias!r} that is not ours: "
                "an index is reached by an alias of that name.",
                fix="Choose another name for the collection, or delete that one.",
            )
        return None

    async def _make(self) -> None:
        """The collection, then its payload indexes, then the alias: what the alias reaches is complete."""
        name = physical_name(self._settings.collection, self._description)
        if not await self._client.collection_exists(name):
            await self._create(name)
        await self._indexes(name)
        operation = CreateAliasOperation(
            create_alias=CreateAlias(collection_name=name, alias_name=self._settings.collection)
        )
        await self._client.update_collection_aliases([operation])

    async def _create(self, name: str) -> None:
        settings = self._settings
        copies = settings.replication_factor
        dense = VectorParams(
            size=int(self._description["dimensions"]),
            distance=Distance.COSINE,
            on_disk=settings.on_disk,
            hnsw_config=None if settings.graph else HnswConfigDiff(m=0),
        )
        words = SparseVectorParams(modifier=Modifier.IDF, index=SparseIndexParams(on_disk=settings.on_disk))
        try:
            await self._client.create_collection(
                name,
                vectors_config={DENSE: dense},
                sparse_vectors_config={LEXICAL: words},
                shard_number=settings.shard_number,
                replication_factor=copies,
                write_consistency_factor=settings.write_consistency_factor or copies,
                quantization_config=_quantization(settings),
                metadata=dict(self._description),
            )
        except REFUSALS as error:
            if await self._client.collection_exists(name):
                return  # made by another process meanwhile
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> Exception:
        """Values that the server does not take are settings here."""
        mapped = self._errors.mapped(error, "make the collection")
        if isinstance(mapped, TerminalError):
            return ConfigurationError(
                str(mapped), fix="Correct how the collection is to be made, or upgrade the server."
            )
        return mapped or error

    async def _indexes(self, name: str) -> PayloadIndexes:
        indexes = PayloadIndexes(self._client, name, on_disk=self._settings.on_disk)
        await indexes.prepare()
        return indexes

    def _compare(self, found: Mapping[str, Any]) -> None:
        wanted = self._description
        different = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        if not different:
            return
        details = ", ".join(f"{name}: {found.get(name)} there, {wanted.get(name)} wanted" for name in different)
        other_model = {"dimensions", "model"} & set(different)
        made = "with another embedding model" if other_model else "with other settings"
        raise ConfigurationError(
            f"The collection {self._settings.collection!r} on the Qdrant server at {self._errors.server} was made "
            f"{made} ({details}).",
            fix="Go back to those settings, or choose another name for the collection, which is filled anew (with "
            "changes from Kafka, for a group of another name as well).",
        )


def physical_name(alias: str, description: Mapping[str, str | float]) -> str:
    """The collection that holds what an alias stands for: another one for every model."""
    identity = json.dumps(dict(description), sort_keys=True).encode()
    return f"{alias}-{hashlib.sha256(identity).hexdigest()[:_HASH_DIGITS]}"


async def open_collection(
    client: AsyncQdrantClient, errors: ServerErrors, settings: QdrantSettings, dimensions: int, model: str
) -> OpenCollection:
    """Open the collection of an index.

    Raises ConfigurationError if it was made with other settings, or the server is too old or refuses the key;
    ServiceUnavailableError if the server is away.
    """
    with errors.while_("open the index"):
        return await CollectionOpener(client, errors, settings, description(settings, dimensions, model)).open()


def _quantization(settings: QdrantSettings) -> QuantizationConfig | None:
    in_memory = True if settings.on_disk else None  # the small form, where the vectors themselves are on disk
    match settings.quantization:
        case "none":
            return None
        case "scalar":
            return ScalarQuantization(
                scalar=ScalarQuantizationConfig(type=ScalarType.INT8, quantile=0.99, always_ram=in_memory)
            )
        case "turbo":
            return TurboQuantization(
                turbo=TurboQuantQuantizationConfig(bits=TurboQuantBitSize.BITS4, always_ram=in_memory)
            )


def _is_quantized(info: CollectionInfo) -> bool:
    return info.config.quantization_config is not None

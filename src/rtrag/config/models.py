"""The settings: their names, types, defaults and meaning. Frozen; reading them is ``loading``'s part."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, SecretStr, Tag, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rtrag.application.services import Collection
from rtrag.config.collections import DOCUMENTS, CollectionSettings
from rtrag.config.indexes import EdgeIndex, IndexSettings, QdrantIndex
from rtrag.config.kinds import EMBEDDERS, GENERATORS, kind_or
from rtrag.config.sources import KafkaSource, PostgresSource, Section, SourceSettings
from rtrag.domain.fusion import DENSE_WEIGHT, DEPTH

ENV_PREFIX = "RTRAG_"
ENV_DELIMITER = "__"


def _is_address(value: str) -> str:
    if not re.match(r"https?://[^\s/]", value):
        raise ValueError("an address that begins with https:// or http:// is wanted")
    return value


Address: TypeAlias = Annotated[str, AfterValidator(_is_address)]


class HttpSettings(Section):
    """Where the services listen and what they accept."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 for all")
    port: int = Field(
        default=8000, ge=0, le=65535, description="port of `rtrag up` and `rtrag serve all`; 0 picks a free one"
    )
    query_port: int = Field(default=8000, ge=0, le=65535, description="port of `rtrag serve query`")
    update_port: int = Field(default=8001, ge=0, le=65535, description="port of `rtrag serve update`")
    max_request_bytes: int = Field(default=16_000_000, ge=1_000, description="largest request body that is read")
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="names that a request's Host may have besides loopback (JSON list); checked if given"
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="origins of web pages that may call, such as https://example.org (JSON list)"
    )
    api_keys: tuple[SecretStr, ...] = Field(
        default=(), description="keys of which a request must carry one (JSON list); empty asks for none"
    )


class StaticEmbedder(Section):
    """The static model that is shipped: no key, no download."""

    kind: Literal["static"] = Field(default="static", description="what turns texts into vectors: static, openai")


class OpenAIEmbedder(Section):
    """OpenAI's embeddings, or any endpoint that speaks the same protocol."""

    kind: Literal["openai"] = Field(default="openai", description="what turns texts into vectors: static, openai")
    model: str = Field(default="text-embedding-3-small", min_length=1, description="embedding model")
    dimensions: int | None = Field(
        default=None, ge=1, le=65536, description="length of the vectors; unset: the model's own"
    )
    base_url: Address | None = Field(default=None, description="address of a compatible endpoint; unset: OpenAI")
    timeout_seconds: float = Field(default=30.0, gt=0, description="how long one request may take")


class ExtractiveGenerator(Section):
    """Answers by quoting the passages: no key."""

    kind: Literal["extractive"] = Field(default="extractive", description="what writes answers: extractive, openai")


class OpenAIGenerator(Section):
    """OpenAI's chat completions, or any endpoint that speaks the same protocol."""

    kind: Literal["openai"] = Field(default="openai", description="what writes answers: extractive, openai")
    model: str = Field(default="gpt-4o-mini", min_length=1, description="chat model")
    base_url: Address | None = Field(default=None, description="address of a compatible endpoint; unset: OpenAI")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0 for the most repeatable answers")
    max_output_tokens: int = Field(default=800, ge=1, description="longest answer, in tokens")
    timeout_seconds: float = Field(default=60.0, gt=0, description="how long one answer may take")


# A callable discriminator with a default: with Field(discriminator="kind"), setting any other field of the section
# in the environment would demand the kind as well.
EmbedderSettings: TypeAlias = Annotated[
    Annotated[StaticEmbedder, Tag("static")] | Annotated[OpenAIEmbedder, Tag("openai")],
    Discriminator(kind_or(EMBEDDERS)),
]
GeneratorSettings: TypeAlias = Annotated[
    Annotated[ExtractiveGenerator, Tag("extractive")] | Annotated[OpenAIGenerator, Tag("openai")],
    Discriminator(kind_or(GENERATORS)),
]


class IndexingSettings(Section):
    """The write path."""

    batch_events: int = Field(default=256, ge=1, le=100_000, description="most change events in one micro-batch")
    batch_bytes: int = Field(default=4_000_000, ge=1_000, description="most bytes of changes in one micro-batch")
    max_document_bytes: int = Field(
        default=8_000_000, ge=1_000, description="largest document; a larger one: dead letter"
    )
    memo_entries: int = Field(
        default=20_000, ge=0, description="vectors kept by fingerprint, so that moves embed nothing"
    )


class QuerySettings(Section):
    """The read path."""

    candidates: int = Field(default=DEPTH, ge=1, le=10_000, description="hits asked of each of the two searches")
    dense_weight: float = Field(
        default=DENSE_WEIGHT, ge=0, le=1, description="share of the vector's score in the fused score"
    )
    context_passages: int = Field(default=5, ge=1, le=100, description="passages that an answer is made from")
    neighbours: int = Field(default=1, ge=0, le=10, description="chunks before and after a hit that join its passage")
    answer_cache_bytes: int = Field(
        default=32_000_000, ge=0, description="memory for answers memoised by their evidence"
    )
    freshness_wait_ms: int = Field(default=2_000, ge=0, description="how long a query waits for its token by default")
    freshness_max_ms: int = Field(default=30_000, ge=0, description="the longest wait that a query may ask for")

    @model_validator(mode="after")
    def _wait_within_maximum(self) -> Self:
        if self.freshness_wait_ms > self.freshness_max_ms:
            raise ValueError("freshness_wait_ms must not exceed freshness_max_ms")
        return self


class RetrySettings(Section):
    """Exponential backoff with jitter, for failures that may pass."""

    attempts: int = Field(
        default=6, ge=1, le=1_000, description="attempts for one document before it becomes a dead letter"
    )
    initial_seconds: float = Field(default=0.1, gt=0, description="first delay")
    max_seconds: float = Field(default=15.0, gt=0, description="longest delay")


_KINDS_BY_ADDRESS = {"kafka_bootstrap_servers": ("source", "kafka"), "qdrant_url": ("index", "qdrant")}


class Settings(BaseSettings):
    """Everything that can be set. Made by ``load_settings``; constructing it reads no environment and no file."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    data_folder: Path = Field(
        default=Path(".rtrag"), description="folder of the index, the dead letters and PostgreSQL"
    )
    postgres_url: SecretStr | None = Field(default=None, description="your PostgreSQL; unset: an embedded one")
    openai_api_key: SecretStr | None = Field(default=None, description="key for the kinds `openai`")
    kafka_bootstrap_servers: str | None = Field(
        default=None, description="Kafka's address; given: the source is `kafka`"
    )
    qdrant_url: Address | None = Field(default=None, description="a Qdrant server; given: the index is `qdrant`")
    redis_url: SecretStr | None = Field(
        default=None, description="a Redis or Valkey for the caches of answers and questions; unset: memory"
    )
    http: HttpSettings = HttpSettings()
    source: SourceSettings = PostgresSource()
    index: IndexSettings = EdgeIndex()
    embedder: EmbedderSettings = StaticEmbedder()
    generator: GeneratorSettings = ExtractiveGenerator()
    indexing: IndexingSettings = IndexingSettings()
    query: QuerySettings = QuerySettings()
    retry: RetrySettings = RetrySettings()
    collections: tuple[CollectionSettings, ...] = Field(
        default=(),
        description="collections and their tables (JSON list); unset: `documents` over the table public.documents",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _kinds_by_address(cls, data: Any) -> Any:
        """Who gives an address means to use what is there; a kind that is named wins."""
        if not isinstance(data, dict):
            return data
        found = dict(data)
        for address, (section, kind) in _KINDS_BY_ADDRESS.items():
            given = found.get(section, {})
            if found.get(address) and isinstance(given, Mapping):
                found[section] = {"kind": kind, **given}
        return found

    @model_validator(mode="after")
    def _key_is_there(self) -> Self:
        for name, section in (("embedder", self.embedder), ("generator", self.generator)):
            remote = isinstance(section, OpenAIEmbedder | OpenAIGenerator) and section.base_url is None
            if remote and self.openai_api_key is None:
                raise ValueError(f"{name}.kind = 'openai' needs OPENAI_API_KEY, or {name}.base_url for another one")
        return self

    @model_validator(mode="after")
    def _addresses_are_there(self) -> Self:
        if isinstance(self.source, KafkaSource):
            for name, value in (
                ("KAFKA_BOOTSTRAP_SERVERS", self.kafka_bootstrap_servers),
                ("POSTGRES_URL", self.postgres_url),
            ):
                if value is None:
                    raise ValueError(f"source.kind = 'kafka' needs {name}")
        if isinstance(self.index, QdrantIndex) and self.qdrant_url is None:
            raise ValueError("index.kind = 'qdrant' needs QDRANT_URL")
        return self

    @model_validator(mode="after")
    def _tables_are_distinct(self) -> Self:
        names = [collection.name for collection in self.collections]
        tables = [table.qualified_name for collection in self.collections for table in collection.tables]
        for what, values in (("collection", names), ("table", tables)):
            if repeated := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"each {what} may be named once in collections; repeated: {', '.join(repeated)}")
        return self

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL is ours."""
        return self.postgres_url is None

    def mapped_collections(self) -> tuple[Collection, ...]:
        """The collections in the application's words; the default one is writable where PostgreSQL is ours."""
        if self.collections:
            return tuple(
                Collection(name=item.name, tables=tuple(table.mapping() for table in item.tables))
                for item in self.collections
            )
        return (Collection(name="documents", tables=(DOCUMENTS.mapping(writable=self.embedded),)),)

"""Configuration: what can be set, and how it is read."""

from rtrag.config.collections import CollectionSettings, RowFilter, TableSettings
from rtrag.config.indexes import EdgeIndex, IndexSettings, QdrantIndex
from rtrag.config.loading import find_config, load_settings
from rtrag.config.models import (
    EmbedderSettings,
    ExtractiveGenerator,
    GeneratorSettings,
    HttpSettings,
    IndexingSettings,
    OpenAIEmbedder,
    OpenAIGenerator,
    QuerySettings,
    RetrySettings,
    Settings,
    StaticEmbedder,
)
from rtrag.config.names import Setting, settings_catalogue
from rtrag.config.sources import KafkaSource, PostgresSource

__all__ = [
    "CollectionSettings",
    "EdgeIndex",
    "EmbedderSettings",
    "ExtractiveGenerator",
    "GeneratorSettings",
    "HttpSettings",
    "IndexSettings",
    "IndexingSettings",
    "KafkaSource",
    "OpenAIEmbedder",
    "OpenAIGenerator",
    "PostgresSource",
    "QdrantIndex",
    "QuerySettings",
    "RetrySettings",
    "RowFilter",
    "Setting",
    "Settings",
    "StaticEmbedder",
    "TableSettings",
    "find_config",
    "load_settings",
    "settings_catalogue",
]

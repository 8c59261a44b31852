"""Configuration: what can be set, and how it is read."""

from rtrag.config.collections import CollectionSettings, RowFilter, TableSettings
from rtrag.config.loading import find_config, load_settings
from rtrag.config.models import (
    EdgeIndex,
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
    "IndexingSettings",
    "KafkaSource",
    "OpenAIEmbedder",
    "OpenAIGenerator",
    "PostgresSource",
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

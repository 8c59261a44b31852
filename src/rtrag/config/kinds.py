"""Kinds of the tagged unions, the default first."""

from collections.abc import Callable
from typing import Any

SOURCES = ("postgres", "kafka")
INDEXES = ("edge", "qdrant")
EMBEDDERS = ("static", "openai")
GENERATORS = ("extractive", "openai")


def kind_or(kinds: tuple[str, ...]) -> Callable[[Any], str]:
    """The ``kind`` of a section, the default where it is not given."""

    def kind_of(value: Any) -> str:
        kind = value.get("kind", kinds[0]) if isinstance(value, dict) else getattr(value, "kind", kinds[0])
        return str(kind)

    return kind_of

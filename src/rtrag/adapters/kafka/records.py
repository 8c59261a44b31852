"""Records as they come from Kafka, and what is said of those that are no change of a document."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecord:
    """A record as it came from Kafka; ``headers`` keep their order, ``timestamp_ms`` is Kafka's."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


@dataclass(frozen=True, slots=True)
class Ignored:
    """A record that changes no document. ``time`` is a heartbeat's: the connector was alive then."""

    reason: str
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that cannot be read, so that not even its document is known."""

    cause: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a record's key, value or header holds; ``schema`` is there where it describes itself."""

    payload: Mapping[str, Any]
    schema: Mapping[str, Any] | None


class Malformed(Exception):  # noqa: N818 - becomes a Poison
    """A record does not have the shape of Debezium's; the message says where."""


def content_of(data: bytes, what: str) -> Content | None:
    """Read JSON as Kafka Connect writes it, with its schema or bare; None for null. Raises Malformed."""
    try:
        content = from_json(data, allow_inf_nan=False)
    except ValueError as exc:
        raise Malformed(f"the {what} is not JSON: {exc}") from exc
    schema = None
    if isinstance(content, dict) and content.keys() == {"schema", "payload"}:
        schema, content = content["schema"], content["payload"]
    if content is None:
        return None
    if not isinstance(content, dict):
        raise Malformed(f"the {what} is not a JSON object")
    return Content(content, schema if isinstance(schema, dict) else None)


def shown(value: Any, limit: int = 40) -> str:
    """A value for people to look at, cut; whatever it is."""
    if isinstance(value, int) and value.bit_length() > 1_000:
        return "(a number without end)"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def member(parent: Mapping[str, Any], name: str, what: str) -> Mapping[str, Any]:
    """An object inside of another. Raises Malformed."""
    value = parent.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"the {what} has no object {name!r}")
    return value

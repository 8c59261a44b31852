"""The payload of each kind of point, as plain dictionaries: the same for Qdrant Edge and a Qdrant server.

What filters and guards look at stands in fields of its own; what is read back is one JSON text, ``record``. That
keeps every value exact (an engine turns integers beyond 64 bits into floats) and is four times as fast to hand
to Edge, which converts payloads value by value, 10 microseconds each.

    table     table of the document, on chunks, manifests and tombstones
    kind      on records: manifest, tombstone, table, source, upkeep
    epoch, lsn, ordinal    the position
    place    on chunks: the position as one number, ordinal left out; for filters, which compare 64-bit floats, so
             neighbours may fall together but never change their order
    filter_text:NAME, filter_number:NAME, filter_flag:NAME    on chunks: filterable metadata, a value or a list
    record    the whole, as JSON
"""

import math
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import from_json, to_json

from rtrag.domain.chunk import ChunkingIdentity, Vector
from rtrag.domain.document import DocumentKey, Json
from rtrag.domain.manifest import ChunkPoint, Manifest, SourceState, TableState
from rtrag.domain.position import MAX_LSN, Position

Payload: TypeAlias = dict[str, Any]
ValueType: TypeAlias = Literal["text", "number", "flag"]

TABLE: Final = "table"
KIND: Final = "kind"
RECORD: Final = "record"
PLACE: Final = "place"
FILTER: Final = "filter_"
POSITION_FIELDS: Final = ("epoch", "lsn", "ordinal")
MANIFEST_KINDS: Final = ("manifest", "tombstone")
QUOTE: Final = '"'
BACKSLASH: Final = "\\"
MAX_FLOAT: Final = sys.float_info.max
_EXACT_INTEGER = 2**63
_EPOCH = float(MAX_LSN)


def chunk_payload(point: ChunkPoint) -> Payload:
    """The payload of a chunk point."""
    position = point.position
    record = {
        "id": point.id,
        "key": [point.key.table, *point.key.values],
        "text": point.text,
        "title": point.title,
        "heading_path": point.heading_path,
        "kind": point.kind,
        "filterable": dict(point.filterable),
        "position": [position.epoch, position.lsn, position.ordinal],
    }
    payload = _with_position(position, {TABLE: point.key.table, PLACE: place(position), RECORD: _dump(record)})
    payload.update(filter_fields(point.filterable))
    return payload


def chunk_point(payload: Mapping[str, Any], dense: Vector | None) -> ChunkPoint:
    """Read back a chunk point; of the payload only ``record`` is needed."""
    record = _load(payload)
    table, *values = record["key"]
    return ChunkPoint(
        id=record["id"],
        key=DocumentKey(table, tuple(values)),
        text=record["text"],
        title=record["title"],
        heading_path=tuple(record["heading_path"]),
        kind=record["kind"],
        filterable=record["filterable"],
        position=Position(*record["position"]),
        dense=dense,
    )


def manifest_payload(manifest: Manifest) -> Payload:
    """The payload of a manifest point."""
    record = {
        "key": [manifest.key.table, *manifest.key.values],
        "chunk_ids": manifest.chunk_ids,
        "title": manifest.title,
        "version": manifest.version,
        "commit_time": manifest.commit_time.isoformat() if manifest.commit_time else None,
        "content_hash": manifest.content_hash,
        "metadata": dict(manifest.metadata),
        "headers": dict(manifest.headers),
        "filterable": dict(manifest.filterable),
        "format": manifest.format,
    }
    kind = "tombstone" if manifest.deleted else "manifest"
    return _with_position(manifest.position, {TABLE: manifest.key.table, KIND: kind, RECORD: _dump(record)})


def manifest_of(payload: Mapping[str, Any]) -> Manifest:
    """Read back a manifest."""
    record = _load(payload)
    commit_time = record["commit_time"]
    table, *values = record["key"]
    return Manifest(
        key=DocumentKey(table, tuple(values)),
        position=position_of(payload),
        chunk_ids=tuple(record["chunk_ids"]),
        title=record["title"],
        version=record["version"],
        commit_time=datetime.fromisoformat(commit_time) if commit_time else None,
        content_hash=record["content_hash"],
        metadata=record["metadata"],
        headers=record["headers"],
        filterable=record["filterable"],
        format=record["format"],
        deleted=payload[KIND] == "tombstone",
    )


def table_payload(state: TableState) -> Payload:
    """The payload of a table point."""
    record = {
        "table": state.table,
        "floor": str(state.floor) if state.floor else None,
        "copied_epoch": state.copied_epoch,
        "swept": str(state.swept) if state.swept else None,
    }
    return {KIND: "table", RECORD: _dump(record)}


def table_of(payload: Mapping[str, Any]) -> TableState:
    """Read back the state of a table."""
    record = _load(payload)
    floor, swept = record["floor"], record["swept"]
    return TableState(
        table=record["table"],
        floor=Position.parse(floor) if floor else None,
        copied_epoch=record["copied_epoch"],
        swept=Position.parse(swept) if swept else None,
    )


def source_payload(state: SourceState) -> Payload:
    """The payload of a source point."""
    identity = state.identity
    record = {
        "name": state.name,
        "system_identifier": state.system_identifier,
        "timeline": state.timeline,
        "slot": state.slot,
        "epoch": state.epoch,
        "durable_lsn": state.durable_lsn,
        "identity": [identity.chunker_version, identity.model_id, identity.dimensions],
        "current_at": state.current_at.isoformat() if state.current_at else None,
    }
    return _with_position(state.position, {KIND: "source", RECORD: _dump(record)})


def source_of(payload: Mapping[str, Any]) -> SourceState:
    """Read back the state of a source."""
    record = _load(payload)
    chunker_version, model_id, dimensions = record.pop("identity")
    current_at = record.pop("current_at", None)
    identity = ChunkingIdentity(chunker_version=chunker_version, model_id=model_id, dimensions=dimensions)
    return SourceState(
        identity=identity, current_at=datetime.fromisoformat(current_at) if current_at else None, **record
    )


def upkeep_payload(deleted_points: int) -> Payload:
    """The payload of the point that counts what deleted chunks have left behind."""
    return {KIND: "upkeep", RECORD: _dump({"deleted_points": deleted_points})}


def upkeep_of(payload: Mapping[str, Any]) -> int:
    """Read back the number of deleted chunk points."""
    return int(_load(payload)["deleted_points"])


def position_of(payload: Mapping[str, Any]) -> Position:
    """The position in a payload that has one."""
    return Position(payload["epoch"], payload["lsn"], payload["ordinal"])


def place(position: Position) -> float:
    """A number that rises with the position, and is the same for near ones."""
    return float(position.epoch) * _EPOCH + position.lsn


def filter_fields(filterable: Mapping[str, Json]) -> Payload:
    """Filterable metadata in fields by type, because a payload index holds values of one type."""
    fields: dict[str, list[object]] = {}
    for name, value in filterable.items():
        for element in value if isinstance(value, list) else (value,):
            kind = value_type(element)
            if kind is not None:
                fields.setdefault(filter_field(name, kind), []).append(stored_value(element))
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def filter_field(name: str, kind: ValueType) -> str:
    """The payload field that holds the values of one type of a filterable field."""
    return f"{FILTER}{kind}:{name.replace('%', '%25').replace(QUOTE, '%22').replace(BACKSLASH, '%5C')}"


def path(field: str) -> str:
    """A payload field as the engines' filters and payload indexes name it."""
    return f"{QUOTE}{field}{QUOTE}"


def type_of_field(field: str) -> str:
    """The type of the values in such a payload field."""
    return field.removeprefix(FILTER).partition(":")[0]


def value_type(value: object) -> ValueType | None:
    """Which of the typed fields holds a value; None for what no condition can match in an engine."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int) or (isinstance(value, float) and not math.isnan(value)):
        return "number"
    return None


def stored_value(value: object) -> object:
    """A value as it stands in the typed field; flags are ``true`` and ``false``, since Edge takes them for 1 and 0."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return comparable(value) if isinstance(value, (int, float)) else value


def comparable(number: float) -> float:
    """A number as an engine can hold it; the order of any two stays, though they may become equal."""
    if isinstance(number, int) and abs(number) < _EXACT_INTEGER:
        return number
    return float(min(max(number, -MAX_FLOAT), MAX_FLOAT))


def _with_position(position: Position, payload: Payload) -> Payload:
    payload["epoch"], payload["lsn"], payload["ordinal"] = position.epoch, position.lsn, position.ordinal
    return payload


def _dump(record: Mapping[str, Any]) -> str:
    return to_json(record, inf_nan_mode="constants").decode()


def _load(payload: Mapping[str, Any]) -> Any:
    return from_json(payload[RECORD])

"""The records in tests/data/debezium, as scripts/record_debezium.py took them from Debezium."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from rtrag.adapters.kafka.envelope import EnvelopeDecoder, RawRecord, Table
from rtrag.adapters.kafka.values import converter_of
from rtrag.domain.conditions import Condition
from rtrag.domain.mapping import TableMapping

DATA = Path(__file__).parents[3] / "data/debezium"
PREFIX = "rag.1"
FORMS = ("bare", "with-schemas")
DOCUMENTS = Table(
    mapping=TableMapping(
        table="public.documents",
        key_columns=("id",),
        title="title",
        metadata=("metadata",),
        row_filter=(Condition(field="state", operator="ne", value="draft"),),
    ),
    converters={
        "id": converter_of("text"),
        "title": converter_of("text"),
        "content": converter_of("text"),
        "metadata": converter_of("jsonb"),
        "state": converter_of("text"),
    },
)
KEYS = Table(
    mapping=TableMapping(table="public.keys", key_columns=("c", "a", "b")),
    converters={
        "a": converter_of("timestamp with time zone"),
        "b": converter_of("numeric(6,2)"),
        "c": converter_of("integer"),
        "content": converter_of("text"),
    },
)
DECODER = EnvelopeDecoder(PREFIX, [DOCUMENTS, KEYS])


@cache
def records(form: str) -> tuple[RawRecord, ...]:
    """All records of a form, in the order of arrival."""
    lines = (DATA / f"{form}.jsonl").read_text().splitlines()
    return tuple(_record(json.loads(line)) for line in lines)


def of_table(form: str, table: str) -> list[RawRecord]:
    """The records of a table."""
    return [record for record in records(form) if record.topic == f"{PREFIX}.public.{table}"]


def payload(record: RawRecord) -> dict[str, Any]:
    """The change in a record, empty for a tombstone."""
    content: dict[str, Any] = json.loads(record.value or b"{}")
    inner: dict[str, Any] = content.get("payload", content)
    return inner


def _record(line: dict[str, Any]) -> RawRecord:
    return RawRecord(
        topic=line["topic"],
        partition=line["partition"],
        offset=line["offset"],
        key=None if line["key"] is None else line["key"].encode(),
        value=None if line["value"] is None else line["value"].encode(),
        headers=tuple((name, value.encode()) for name, value in line["headers"]),
        timestamp_ms=line["timestamp_ms"],
    )

"""From a record of Debezium's PostgreSQL connector to change events: pure.

A record's topic is ``PREFIX.SCHEMA.TABLE``, as in ``rag.1.public.documents``; the number at the end of the prefix is
the epoch of its positions. A streamed change stands at ``(epoch, LSN of the change, 0)``. A row of a snapshot, the
incremental one too, stands at ``(epoch, 0, LSN of the snapshot)``: below every streamed change of the epoch, and where
a snapshot broke off and was taken again, the later one wins.

A change of key comes as a delete under the old key, a tombstone, and a create under the new one, sent in this order
but perhaps to two partitions, so the two may arrive in either order, and in different processes. Both stand at the
same LSN, of two documents. What the create leaves out (unchanged large values) is therefore always read from the
table: the index may have an older text of the old key than the change was made on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rtrag.adapters.kafka.records import Content, Ignored, Malformed, Poison, RawRecord, content_of, member, shown
from rtrag.adapters.kafka.rows import (
    ColumnGoneError,
    KeyUnreadable,
    RowError,
    RowImage,
    RowReading,
    Table,
    fields_of,
    payload_of,
)
from rtrag.adapters.kafka.values import PLACEHOLDER, Placeholder
from rtrag.domain.change import ChangeEvent, Delete, Transit, Truncate, Unprocessable, Upsert
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.position import MAX_LSN, Position

__all__ = ["EnvelopeDecoder", "Ignored", "Poison", "RawRecord", "Table", "epoch_of"]

_EPOCH_OF_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PREFIX: Final = re.compile(r".+\.([1-9][0-9]{0,8})")
_HEARTBEAT: Final = "__debezium-heartbeat."
_OLD_KEY: Final = "__debezium.oldkey"
_FAR_MICROS: Final = 2**62
_STREAMED: Final = frozenset({None, False, "false"})


def epoch_of(prefix: str) -> int:
    """The epoch that a connector's ``topic.prefix`` names. Raises ConfigurationError."""
    match = _PREFIX.fullmatch(prefix)
    if match is None:
        raise ConfigurationError(
            f"The topic prefix {prefix!r} does not end in an epoch.",
            fix="end the connector's topic.prefix, and RTRAG_SOURCE__TOPIC_PREFIX, in a dot and a number from 1, as "
            "in rag.1; raise it with every new slot",
        )
    return int(match[1])


class EnvelopeDecoder:
    """Decodes the records of one topic prefix.

    ``placeholder`` is the connector's ``unavailable.value.placeholder``. Raises ConfigurationError for a prefix
    without an epoch.
    """

    def __init__(self, prefix: str, tables: Sequence[Table], placeholder: str = PLACEHOLDER) -> None:
        self._epoch = epoch_of(prefix)
        stand_in = Placeholder(placeholder)
        self._tables = {
            f"{prefix}.{table.mapping.table}": _Decoding(table.mapping.table, RowReading(table, stand_in), self._epoch)
            for table in tables
        }

    @property
    def broken_tables(self) -> Mapping[str, str]:
        """Tables whose newest row lacks a column that is mapped, with the complaint."""
        states = [(decoding.table, decoding.columns.complaint) for decoding in self._tables.values()]
        return {table: complaint for table, complaint in states if complaint is not None}

    def decode(self, record: RawRecord) -> tuple[ChangeEvent, ...] | Ignored | Poison:
        """The change events of a record; never raises, whatever the record holds.

        Unprocessable is a row that cannot become a document while its key can be read, Poison everything else that
        is not understood.
        """
        decoding = self._tables.get(record.topic)
        try:
            if decoding is None:
                return _of_another_topic(record)
            if record.value is None:
                return Ignored("a tombstone, for Kafka's compaction")
            return decoding.decode(record, record.value)
        except (Malformed, KeyUnreadable) as exc:
            return Poison(str(exc))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What all events of a record share."""

    position: Position
    commit_time: datetime | None
    size: int
    transit: Transit | None = None


@dataclass(slots=True)
class _Columns:
    """What the newest row of a table said about its columns; rows come from several partitions in any order."""

    position: Position | None = None
    complaint: str | None = None

    def note(self, position: Position, complaint: str | None) -> None:
        if self.position is None or position >= self.position:
            self.position, self.complaint = position, complaint


@dataclass(frozen=True, slots=True)
class _Decoding:
    """Decodes the records of one table."""

    table: str
    rows: RowReading
    epoch: int
    columns: _Columns = field(default_factory=_Columns)

    def decode(self, record: RawRecord, value: bytes) -> tuple[ChangeEvent, ...] | Ignored:
        content = content_of(value, "value")
        if content is None:
            return Ignored("a tombstone, for Kafka's compaction")
        operation = content.payload.get("op")
        if operation == "m":
            return Ignored("a logical message")
        if operation not in ("c", "u", "r", "d", "t"):  # a tuple: what came may not be hashable
            raise Malformed(f"the operation {shown(operation)} is not known")
        facts = self._facts(record, content)
        if operation == "t":
            return (
                Truncate(position=facts.position, table=self.table, commit_time=facts.commit_time, size=facts.size),
            )
        if operation == "d":
            return (_delete(self._deleted_key(record, content), facts),)
        return (self._upsert(record, content, facts),)

    def _facts(self, record: RawRecord, content: Content) -> _Facts:
        source = member(content.payload, "source", "value")
        lsn = source.get("lsn")
        if not isinstance(lsn, int) or isinstance(lsn, bool) or not 0 < lsn <= MAX_LSN:
            raise Malformed(f"source.lsn is no LSN: {shown(lsn)}")
        snapshot = source.get("snapshot")
        copied = content.payload.get("op") == "r" or (
            snapshot not in _STREAMED if isinstance(snapshot, str | bool | None) else True
        )
        if copied:  # the time is the snapshot's, not that of any commit
            return _Facts(Position(self.epoch, 0, lsn), None, record.size)
        position, transit = Position(self.epoch, lsn, 0), _transit(record, content)
        return _Facts(position, _commit_time(content, source), record.size, transit)

    def _deleted_key(self, record: RawRecord, content: Content) -> DocumentKey:
        try:
            return self._record_key(record)
        except (KeyUnreadable, Malformed):
            before = content.payload.get("before")
            if not isinstance(before, dict):
                raise
            return self.rows.key(before)

    def _record_key(self, record: RawRecord) -> DocumentKey:
        content = None if record.key is None else content_of(record.key, "key")
        if content is None:
            raise KeyUnreadable("the record has no key; the table needs a primary key, or message.key.columns")
        return self.rows.key(content.payload)

    def _upsert(self, record: RawRecord, content: Content, facts: _Facts) -> ChangeEvent:
        after = member(content.payload, "after", "value")
        try:
            key = self.rows.key(after)
        except KeyUnreadable:
            key = self._record_key(record)
        headers = [value for name, value in record.headers if name == _OLD_KEY]
        row = RowImage(
            values=after,
            fields=fields_of(content.schema, "after"),
            partial=content.payload["op"] == "u" or bool(headers),
            moved=bool(headers),
        )
        try:
            draft = self.rows.draft(row, key)
            self.columns.note(facts.position, None)
        except RowError as exc:
            self.columns.note(facts.position, str(exc) if isinstance(exc, ColumnGoneError) else None)
            return Unprocessable(
                position=facts.position,
                key=key,
                cause=str(exc),
                payload=payload_of(after),
                commit_time=facts.commit_time,
                size=facts.size,
                transit=facts.transit,
            )
        if draft is None:
            return _delete(key, facts)
        return Upsert(
            position=facts.position,
            draft=draft,
            commit_time=facts.commit_time,
            previous_key=self._previous_key(headers[0]) if headers else None,
            size=facts.size,
            transit=facts.transit,
        )

    def _previous_key(self, header: bytes) -> DocumentKey | None:
        """The old key; None where the header cannot be read, which costs nothing: the row is read if need be."""
        try:
            content = content_of(header, "header")
            return None if content is None else self.rows.key(content.payload)
        except (Malformed, KeyUnreadable):
            return None


def _delete(key: DocumentKey, facts: _Facts) -> Delete:
    return Delete(
        position=facts.position, key=key, commit_time=facts.commit_time, size=facts.size, transit=facts.transit
    )


def _transit(record: RawRecord, content: Content) -> Transit | None:
    """When Debezium had the change (``ts_us`` of the envelope) and when Kafka was given it."""
    micros = content.payload.get("ts_us")
    if not isinstance(micros, int) or not 0 < micros < _FAR_MICROS or record.timestamp_ms <= 0:
        return None
    return Transit(captured=micros / 1e6, stored=record.timestamp_ms / 1e3)


def _commit_time(content: Content, source: Any) -> datetime | None:
    for micros, unit in ((source.get("ts_us"), 1), (source.get("ts_ms"), 1000), (content.payload.get("ts_ms"), 1000)):
        if isinstance(micros, int):
            return _moment(micros * unit)
    return None


def _moment(micros: int) -> datetime | None:
    try:
        return _EPOCH_OF_TIME + timedelta(microseconds=micros)
    except OverflowError:
        return None


def _of_another_topic(record: RawRecord) -> Ignored:
    if not record.topic.startswith(_HEARTBEAT):
        return Ignored(f"topic {record.topic} is none of the mapped tables")
    content = None if record.value is None else content_of(record.value, "value")
    milliseconds = None if content is None else content.payload.get("ts_ms")
    time = _moment(milliseconds * 1000) if isinstance(milliseconds, int) else None
    return Ignored("a heartbeat", time)

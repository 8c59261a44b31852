"""Decoder of the logical replication stream: copy framing and pgoutput, protocol version 1. No input or output.

Formats: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Replication Message Formats".
Column values stay the bytes that were sent: their text, NULL (None) or UNCHANGED (a TOAST value left out).
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal, NoReturn, TypeAlias

from rtrag.domain.errors import SourceInterruptedError

POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Unchanged(Enum):
    """A TOAST value that an update did not touch and the server did not send."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
ColumnValue: TypeAlias = bytes | Unchanged | None
Row: TypeAlias = tuple[ColumnValue, ...]
OldKind: TypeAlias = Literal["K", "O"]


class ProtocolError(SourceInterruptedError):
    """The replication stream holds bytes that are not a message of the protocol."""


@dataclass(frozen=True, slots=True)
class XLogData:
    """A piece of the stream: one pgoutput message."""

    start_lsn: int
    end_lsn: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server has read its log up to ``end_lsn`` and has nothing more to send before it."""

    end_lsn: int
    reply_requested: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """``final_lsn`` is the start of the commit record, ``xid`` has 32 bits."""

    final_lsn: int
    commit_time: datetime
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """``end_lsn`` is the end of the commit record: what may be confirmed once the transaction is applied."""

    commit_lsn: int
    end_lsn: int
    commit_time: datetime


@dataclass(frozen=True, slots=True)
class Origin:
    lsn: int
    name: str


@dataclass(frozen=True, slots=True)
class RelationColumn:
    name: str
    type_oid: int
    type_modifier: int
    part_of_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """``replica_identity`` is d(efault), n(othing), f(ull) or i(ndex)."""

    oid: int
    namespace: str
    name: str
    replica_identity: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class TypeName:
    oid: int
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class RowInserted:
    relation: int
    new: Row


@dataclass(frozen=True, slots=True)
class RowUpdated:
    """``old`` holds the old key (K) or the whole old row (O); None when the key did not change."""

    relation: int
    old_kind: OldKind | None
    old: Row | None
    new: Row


@dataclass(frozen=True, slots=True)
class RowDeleted:
    relation: int
    old_kind: OldKind
    old: Row


@dataclass(frozen=True, slots=True)
class Truncated:
    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """Written by pg_logical_emit_message."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


RowChange: TypeAlias = RowInserted | RowUpdated | RowDeleted
Message: TypeAlias = Begin | Commit | Origin | Relation | TypeName | RowChange | Truncated | LogicalMessage

_XLOG_DATA = struct.Struct(">cQQq")
_KEEPALIVE = struct.Struct(">cQqB")
_STATUS = struct.Struct(">cQQQqB")
_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")
_U8 = struct.Struct(">B")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_COLUMN_TYPE = struct.Struct(">Ii")
_TRUNCATE = struct.Struct(">IB")
_CASCADE, _RESTART_IDENTITY = 1, 2
_OLD: Mapping[str, OldKind] = {"K": "K", "O": "O"}


def decode_frame(data: bytes) -> XLogData | Keepalive:
    """Decode one CopyData payload from the server. Raises ProtocolError."""
    kind = data[:1]
    try:
        if kind == b"w":
            _, start, end, _ = _XLOG_DATA.unpack_from(data)
            return XLogData(start, end, data[_XLOG_DATA.size :])
        if kind == b"k":
            _, end, _, reply = _KEEPALIVE.unpack(data)
            return Keepalive(end, reply == 1)
    except struct.error as exc:
        raise ProtocolError(f"replication frame {kind!r} has a wrong length: {len(data)} bytes") from exc
    raise ProtocolError(f"unknown replication frame {kind!r} of {len(data)} bytes")


def encode_status(*, received: int, confirmed: int, now: datetime, reply_requested: bool = False) -> bytes:
    """A standby status update: received so far, and durable (the server may forget what lies before)."""
    micros = (now - POSTGRES_EPOCH) // timedelta(microseconds=1)
    return _STATUS.pack(b"r", received, confirmed, confirmed, micros, reply_requested)


def decode_message(data: bytes) -> Message:
    """Decode one pgoutput message. Raises ProtocolError naming the message type and the offset."""
    kind = chr(data[0]) if data else ""
    decode = _DECODERS.get(kind)
    if decode is None:
        raise ProtocolError(f"unknown pgoutput message type {kind!r} of {len(data)} bytes")
    reader = _Reader(data, kind)
    try:
        message = decode(reader)
    except (OverflowError, struct.error) as exc:
        reader.fail(f"holds a value out of range or ends early ({exc})", cause=exc)
    if reader.offset != len(data):
        reader.fail(f"is followed by {len(data) - reader.offset} more bytes")
    return message


class _Reader:
    """Reads a message from front to back and says where it stopped fitting."""

    __slots__ = ("data", "kind", "offset")

    def __init__(self, data: bytes, kind: str) -> None:
        self.data = data
        self.kind = kind
        self.offset = 1

    def fail(self, what: str, *, cause: BaseException | None = None) -> NoReturn:
        raise ProtocolError(
            f"pgoutput message {self.kind!r} of {len(self.data)} bytes {what}, at offset {self.offset}"
        ) from cause

    def fields(self, layout: struct.Struct) -> tuple[int, ...]:
        values = layout.unpack_from(self.data, self.offset)
        self.offset += layout.size
        return values

    def number(self, layout: struct.Struct) -> int:
        return self.fields(layout)[0]

    def byte(self) -> str:
        return chr(self.number(_U8))

    def text(self) -> str:
        end = self.data.find(b"\0", self.offset)
        if end < 0:
            self.fail("has a name without its end")
        value = self.data[self.offset : end].decode("utf-8", "surrogateescape")
        self.offset = end + 1
        return value

    def take(self, length: int) -> bytes:
        end = self.offset + length
        if end > len(self.data):
            self.fail(f"announces {length} bytes where {len(self.data) - self.offset} are left")
        value = self.data[self.offset : end]
        self.offset = end
        return value

    def row(self) -> Row:
        values: list[ColumnValue] = []
        for _ in range(self.number(_U16)):
            kind = self.byte()
            if kind == "t":
                values.append(self.take(self.number(_U32)))
            elif kind == "n":
                values.append(None)
            elif kind == "u":
                values.append(UNCHANGED)
            else:
                self.fail(f"has a column of unknown kind {kind!r}")
        return tuple(values)


def _time(microseconds: int) -> datetime:
    return POSTGRES_EPOCH + timedelta(microseconds=microseconds)


def _begin(reader: _Reader) -> Begin:
    final_lsn, micros, xid = reader.fields(_BEGIN)
    return Begin(final_lsn, _time(micros), xid)


def _commit(reader: _Reader) -> Commit:
    _, commit_lsn, end_lsn, micros = reader.fields(_COMMIT)
    return Commit(commit_lsn, end_lsn, _time(micros))


def _origin(reader: _Reader) -> Origin:
    return Origin(reader.number(_U64), reader.text())


def _relation(reader: _Reader) -> Relation:
    oid, namespace, name, identity = reader.number(_U32), reader.text(), reader.text(), reader.byte()
    columns = []
    for _ in range(reader.number(_U16)):
        flags, column = reader.number(_U8), reader.text()
        type_oid, modifier = reader.fields(_COLUMN_TYPE)
        columns.append(RelationColumn(column, type_oid, modifier, flags & 1 == 1))
    return Relation(oid, namespace, name, identity, tuple(columns))


def _type(reader: _Reader) -> TypeName:
    return TypeName(reader.number(_U32), reader.text(), reader.text())


def _insert(reader: _Reader) -> RowInserted:
    relation = reader.number(_U32)
    kind = reader.byte()
    if kind != "N":
        reader.fail(f"has {kind!r} where the new row was expected")
    return RowInserted(relation, reader.row())


def _update(reader: _Reader) -> RowUpdated:
    relation = reader.number(_U32)
    kind = reader.byte()
    old_kind: OldKind | None = None
    old = None
    if kind in _OLD:
        old_kind, old = _OLD[kind], reader.row()
        kind = reader.byte()
    if kind != "N":
        reader.fail(f"has {kind!r} where the new row was expected")
    return RowUpdated(relation, old_kind, old, reader.row())


def _delete(reader: _Reader) -> RowDeleted:
    relation = reader.number(_U32)
    kind = reader.byte()
    if kind not in _OLD:
        reader.fail(f"has {kind!r} where the old row was expected")
    return RowDeleted(relation, _OLD[kind], reader.row())


def _truncate(reader: _Reader) -> Truncated:
    count, options = reader.fields(_TRUNCATE)
    if count * _U32.size > len(reader.data) - reader.offset:
        reader.fail(f"announces {count} tables")
    relations = tuple(reader.number(_U32) for _ in range(count))
    return Truncated(relations, options & _CASCADE != 0, options & _RESTART_IDENTITY != 0)


def _message(reader: _Reader) -> LogicalMessage:
    flags, lsn = reader.number(_U8), reader.number(_U64)
    return LogicalMessage(flags & 1 == 1, lsn, reader.text(), reader.take(reader.number(_U32)))


_DECODERS: Mapping[str, Callable[[_Reader], Message]] = {
    "B": _begin,
    "C": _commit,
    "O": _origin,
    "R": _relation,
    "Y": _type,
    "I": _insert,
    "U": _update,
    "D": _delete,
    "T": _truncate,
    "M": _message,
}

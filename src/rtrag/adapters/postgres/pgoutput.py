"""Decoder of pgoutput messages, protocol version 1. No input or output.

Format: PostgreSQL documentation, "Logical Replication Message Formats".
"""

import struct
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NoReturn

from rtrag.adapters.postgres.replication_frames import POSTGRES_EPOCH, ProtocolError
from rtrag.adapters.postgres.replication_messages import (
    UNCHANGED,
    Begin,
    ColumnValue,
    Commit,
    LogicalMessage,
    Message,
    OldKind,
    Origin,
    Relation,
    RelationColumn,
    Row,
    RowDeleted,
    RowInserted,
    RowUpdated,
    TooLarge,
    Truncated,
    TypeName,
)

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


def decode_message(data: bytes | memoryview, largest: int = sys.maxsize) -> Message:
    """Decode one pgoutput message; column values of more than ``largest`` bytes are TooLarge.

    Raises ProtocolError naming the message type and the offset.
    """
    kind = chr(data[0]) if data else ""
    decode = _DECODERS.get(kind)
    if decode is None:
        raise ProtocolError(f"unknown pgoutput message type {kind!r} of {len(data)} bytes")
    reader = _Reader(data, kind, largest)
    try:
        message = decode(reader)
    except (OverflowError, struct.error) as exc:
        reader.fail(f"holds a value out of range or ends early ({exc})", cause=exc)
    if reader.offset != len(data):
        reader.fail(f"is followed by {len(data) - reader.offset} more bytes")
    return message


class _Reader:
    """Reads a message from front to back and says where it stopped fitting."""

    __slots__ = ("data", "kind", "largest", "offset")

    def __init__(self, data: bytes | memoryview, kind: str, largest: int) -> None:
        self.data = data
        self.kind = kind
        self.largest = largest
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
        data = self.data = bytes(self.data)  # no message with names is large
        end = data.find(b"\0", self.offset)
        if end < 0:
            self.fail("has a name without its end")
        value = data[self.offset : end].decode("utf-8", "surrogateescape")
        self.offset = end + 1
        return value

    def take(self, length: int) -> bytes:
        start = self._skip(length)
        return bytes(self.data[start : start + length])

    def value(self, length: int) -> bytes | TooLarge:
        if length <= self.largest:
            return self.take(length)
        start = self._skip(length)
        return TooLarge.of(memoryview(self.data)[start : start + length])

    def _skip(self, length: int) -> int:
        """Go past ``length`` bytes; where they start."""
        start = self.offset
        if start + length > len(self.data):
            self.fail(f"announces {length} bytes where {len(self.data) - start} are left")
        self.offset = start + length
        return start

    def row(self) -> Row:
        values: list[ColumnValue] = []
        for _ in range(self.number(_U16)):
            kind = self.byte()
            if kind == "t":
                values.append(self.value(self.number(_U32)))
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
    return RowInserted(reader.number(_U32), _new_row(reader, reader.byte()))


def _update(reader: _Reader) -> RowUpdated:
    relation = reader.number(_U32)
    kind = reader.byte()
    old_kind: OldKind | None = None
    old = None
    if kind in _OLD:
        old_kind, old = _OLD[kind], reader.row()
        kind = reader.byte()
    return RowUpdated(relation, old_kind, old, _new_row(reader, kind))


def _new_row(reader: _Reader, kind: str) -> Row:
    if kind != "N":
        reader.fail(f"has {kind!r} where the new row was expected")
    return reader.row()


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

"""What the copy stream of replication is made of: frames from the server, status updates to it. No input or output.

Format: PostgreSQL documentation, "Streaming Replication Protocol".
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rtrag.domain.errors import SourceInterruptedError

POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

_XLOG_DATA = struct.Struct(">cQQq")
_KEEPALIVE = struct.Struct(">cQqB")
_STATUS = struct.Struct(">cQQQqB")


class ProtocolError(SourceInterruptedError):
    """The replication stream holds bytes that are not a message of the protocol."""


@dataclass(frozen=True, slots=True)
class XLogData:
    """A piece of the stream: one pgoutput message."""

    start_lsn: int
    end_lsn: int
    payload: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server has read its log up to ``end_lsn`` and has nothing more to send before it."""

    end_lsn: int
    reply_requested: bool


def decode_frame(data: bytes | memoryview) -> XLogData | Keepalive:
    """Decode one CopyData payload from the server. Raises ProtocolError."""
    kind = bytes(data[:1])
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

"""The messages of a logical replication stream, as pgoutput sends them.

Column values stay the bytes that were sent: their text, NULL (None), UNCHANGED (a TOAST value left out) or what is
left of one that is TooLarge.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Literal, TypeAlias

_BEGINNING: Final = 2_000


class Unchanged(Enum):
    """A TOAST value that an update did not touch and the server did not send."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A value of so many bytes that it is not taken into memory again, as PostgreSQL's may have up to a gigabyte."""

    size: int
    beginning: bytes

    @classmethod
    def of(cls, value: bytes | memoryview) -> "TooLarge":
        """What is kept of a value: enough for people to recognize it."""
        return cls(len(value), bytes(value[:_BEGINNING]))

    def __len__(self) -> int:
        return self.size


ColumnValue: TypeAlias = bytes | TooLarge | Unchanged | None
Row: TypeAlias = tuple[ColumnValue, ...]
OldKind: TypeAlias = Literal["K", "O"]


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

"""Positions: where in the history of a database a change stands.

A position is ``(epoch, lsn, ordinal)``. The epoch rises with every new slot and whenever LSNs stop being
comparable; rows copied for an epoch carry ``(epoch, 0, 0)``: below every streamed change of that epoch, above
everything older.
"""

import re
from dataclasses import dataclass
from typing import Self

MAX_LSN = 2**53  # Qdrant compares numbers as 64-bit floats: 8 PiB of WAL is where they stop being exact.
# int() alone would take signs, blanks, underscores and prefixes, and tokens come from outside.
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_POSITION = re.compile(r"([0-9]{1,18}):([^:]*):(-?[0-9]{1,18})")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A point in the history of a source, totally ordered per document.

    Attributes:
        epoch: generation of the slot, from 1.
        lsn: log sequence number in bytes; commit LSN for streamed changes.
        ordinal: number of the change inside its transaction; -1 stands just before the first one.
    """

    epoch: int
    lsn: int
    ordinal: int

    def __str__(self) -> str:
        return f"{self.epoch}:{format_lsn(self.lsn)}:{self.ordinal}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``str()`` wrote; ValueError if it is not a position."""
        match = _POSITION.fullmatch(text)
        if not match:
            raise ValueError(f"not a position: {text!r}, expected epoch, LSN and ordinal as in 1:16/B374D848:0")
        return cls(int(match[1]), parse_lsn(match[2]), int(match[3]))

    @classmethod
    def copied(cls, epoch: int) -> Self:
        """The position of rows copied when an epoch begins."""
        return cls(epoch, 0, 0)

    @classmethod
    def floor_of(cls, epoch: int) -> Self:
        """Just below the copied rows of an epoch: hides everything older."""
        return cls(epoch, 0, -1)

    @classmethod
    def of_read(cls, epoch: int, lsn: int) -> Self:
        """The position of a row read when every commit before ``lsn`` was visible to the reader."""
        return cls(epoch, lsn, -1)


def parse_lsn(text: str) -> int:
    """``'16/B374D848'`` as a number of bytes; ValueError if it is not an LSN."""
    match = _LSN.fullmatch(text)
    if not match:
        raise ValueError(f"not an LSN: {text!r}, expected two hexadecimal numbers as in 16/B374D848")
    return (int(match[1], 16) << 32) + int(match[2], 16)


def format_lsn(lsn: int) -> str:
    """A number of bytes in PostgreSQL's notation, ``'16/B374D848'``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"

"""Dead letters as records of a compacted topic: one record for each document and position. No I/O.

The key is the document's and the position, ``public.documents/doc-1 1:16/B374D848:0``, so that two workers overwrite
each other's record only if it is of the same change. The value is JSON; none closes that letter.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from rtrag.adapters.kafka.records import RawRecord
from rtrag.domain.document import DocumentKey
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter

LONGEST_CAUSE: Final = 1_000  # characters, of a letter that is too large to be kept whole


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRecord:
    """A letter as one worker wrote it.

    Its attempts and its first failure include those of the document's records at lower positions that stand before
    the offset ``counts_below``.
    """

    letter: DeadLetter
    counts_below: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one record of the topic says of a document; None closes what was written at this position."""

    offset: int
    key: DocumentKey
    position: Position
    record: LetterRecord | None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A record that is no letter, or one of a form that is not known here."""

    offset: int
    cause: str


LetterEntry: TypeAlias = Entry | Foreign


def record_key(key: DocumentKey, position: Position) -> bytes:
    """The key of a record."""
    return f"{key} {position}".encode("ascii")


def encode(record: LetterRecord, room: int) -> bytes:
    """The value of a record, at most ``room`` bytes: instead of a payload that does not fit there is a note."""
    value = _encoded(record)
    if len(value) <= room:
        return value
    letter = record.letter
    note = (
        f"The payload was too large to keep: the letter has {len(value)} bytes, a record of this topic at most {room} "
        "(max.message.bytes). Nothing is lost: a replay reads the row."
    )
    return _encoded(replace(record, letter=replace(letter, payload={"note": note}, cause=_cut(letter.cause))))


def decode(raw: RawRecord) -> LetterEntry:
    """Read a record, whatever it is."""
    try:
        key, position = _parsed(raw.key)
        record = None if raw.value is None else _decoded(key, position, raw.value)
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        return Foreign(raw.offset, f"{type(exc).__name__}: {exc}")
    return Entry(offset=raw.offset, key=key, position=position, record=record)


def _encoded(record: LetterRecord) -> bytes:
    letter = record.letter
    content = {
        "cause": letter.cause,
        "attempts": letter.attempts,
        "first_failed": letter.first_failed.astimezone(UTC).isoformat(),
        "last_failed": letter.last_failed.astimezone(UTC).isoformat(),
        "counts_below": record.counts_below,
        "payload": dict(letter.payload),
    }
    # Half of a surrogate pair, which JSON from outside may hold, is no UTF-8 and still has to come back.
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _cut(cause: str) -> str:
    return cause if len(cause) <= LONGEST_CAUSE else f"{cause[:LONGEST_CAUSE]}… ({len(cause)} characters)"


def _parsed(key: bytes | None) -> tuple[DocumentKey, Position]:
    if key is None:
        raise ValueError("the record has no key")
    document, _, position = key.decode("ascii").rpartition(" ")
    return DocumentKey.parse(document), Position.parse(position)


def _decoded(key: DocumentKey, position: Position, value: bytes) -> LetterRecord:
    content = json.loads(value.decode("utf-8", "surrogatepass"))
    letter = DeadLetter(
        key=key,
        position=position,
        cause=_typed(content["cause"], str),
        attempts=_typed(content["attempts"], int),
        payload=_typed(content["payload"], dict),
        first_failed=_moment(content["first_failed"]),
        last_failed=_moment(content["last_failed"]),
    )
    return LetterRecord(letter=letter, counts_below=_typed(content["counts_below"], int))


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment

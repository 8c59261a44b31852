"""Letters as records: every letter comes back as it was, whatever it holds, and no record does harm."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.dead_letters_contract import KEYS, letter
from rtrag.adapters.kafka.letter_records import Entry, Foreign, LetterRecord, decode, encode, record_key
from rtrag.adapters.kafka.records import RawRecord
from rtrag.domain.document import DocumentKey
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter

ROOM = 1_000_000
any_text = st.text(st.characters(exclude_categories=()))
key_text = st.text(st.characters(exclude_categories=["Cs"])) | st.just(
    "\udcff"
)  # a byte that is no UTF-8, as keys have
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)
zones = st.sampled_from((UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))))
moments = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=zones)  # noqa: DTZ001 - zones are drawn
letters = st.builds(
    DeadLetter,
    key=st.builds(DocumentKey, st.text(min_size=1), st.lists(key_text, min_size=1, max_size=3).map(tuple)),
    position=st.builds(Position, st.integers(0, 10**9), st.integers(0, 2**53), st.integers(-1, 10**9)),
    cause=any_text,
    attempts=st.integers(1, 10**6),
    payload=st.dictionaries(any_text, any_json, max_size=4),
    first_failed=moments,
    last_failed=moments,
)


def raw(key: bytes | None, value: bytes | None) -> RawRecord:
    return RawRecord(topic="t", partition=0, offset=7, key=key, value=value)


def read_back(record: LetterRecord, room: int = ROOM) -> LetterRecord:
    key = record_key(record.letter.key, record.letter.position)
    entry = decode(raw(key, encode(record, room)))
    assert isinstance(entry, Entry)
    assert (entry.offset, entry.key, entry.position) == (7, record.letter.key, record.letter.position)
    assert entry.record is not None
    return entry.record


@given(letters, st.integers(0, 2**60))
def test_a_letter_comes_back_as_it_was(given_letter: DeadLetter, counts_below: int) -> None:
    record = LetterRecord(letter=given_letter, counts_below=counts_below)
    assert read_back(record) == record


@given(letters)
def test_a_record_without_a_value_closes_its_position_alone(given_letter: DeadLetter) -> None:
    key = record_key(given_letter.key, given_letter.position)
    expected = Entry(offset=7, key=given_letter.key, position=given_letter.position, record=None)
    assert decode(raw(key, None)) == expected


@given(letters, letters)
def test_two_letters_share_a_record_only_if_document_and_position_are_the_same(
    one: DeadLetter, other: DeadLetter
) -> None:
    same = (one.key, one.position) == (other.key, other.position)
    assert (record_key(one.key, one.position) == record_key(other.key, other.position)) == same


@given(st.none() | st.binary(), st.none() | st.binary() | any_json.map(lambda value: json.dumps(value).encode()))
def test_whatever_others_write_is_read_without_an_error(key: bytes | None, value: bytes | None) -> None:
    good = record_key(KEYS[0], Position(1, 2, 3))
    assert isinstance(decode(raw(key, value)), Foreign)
    if value is not None:
        assert isinstance(decode(raw(good, value)), Foreign)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts", True),
        ("attempts", "2"),
        ("cause", None),
        ("payload", []),
        ("first_failed", "2026-05-01T12:00:00"),
        ("last_failed", 5),
        ("counts_below", 1.5),
    ],
)
def test_a_value_of_another_form_is_foreign(field: str, value: object) -> None:
    content = json.loads(encode(LetterRecord(letter=replace(letter(KEYS[0]), payload={}), counts_below=0), ROOM))
    altered = json.dumps({**content, field: value}).encode()
    key = record_key(KEYS[0], Position(1, 1, 0))
    assert isinstance(decode(raw(key, json.dumps(content).encode())), Entry)
    assert isinstance(decode(raw(key, altered)), Foreign)


def test_deep_nesting_is_foreign() -> None:
    assert isinstance(decode(raw(record_key(KEYS[0], Position(1, 1, 0)), b"[" * 200_000)), Foreign)


def test_a_letter_that_fits_exactly_is_kept_whole_and_one_byte_less_costs_the_payload() -> None:
    record = LetterRecord(letter=replace(letter(KEYS[0]), payload={"content": "ä" * 5_000}), counts_below=3)
    size = len(encode(record, ROOM))
    assert read_back(record, size) == record
    cut = read_back(record, size - 1)
    assert "a replay reads the row" in str(cut.letter.payload["note"])
    assert str(size) in str(cut.letter.payload["note"])
    assert replace(cut, letter=replace(cut.letter, payload=record.letter.payload)) == record


def test_a_cause_without_end_is_cut_with_the_payload() -> None:
    record = LetterRecord(letter=letter(KEYS[0], cause="\ud800" * 1_000_000), counts_below=0)
    value = encode(record, 20_000)
    assert len(value) <= 20_000
    assert read_back(record, 20_000).letter.cause.startswith("\ud800" * 1_000)

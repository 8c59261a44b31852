"""Whatever a record holds, the decoder answers and does not raise."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.adapters.kafka.envelope import EnvelopeDecoder, Ignored, Poison, RawRecord, epoch_of
from rtrag.adapters.kafka.values import PLACEHOLDER, Placeholder
from rtrag.domain.change import Unprocessable, Upsert
from rtrag.domain.errors import ConfigurationError
from unit.adapters.kafka.recorded import DECODER, DOCUMENTS, FORMS, PREFIX, of_table

TOPIC = f"{PREFIX}.public.documents"
SAMPLES = [record for form in FORMS for record in of_table(form, "documents") if record.value]
junk = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(min_value=10**400), st.floats(), st.text(max_size=5),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from(["c", "u", "r", "d", "t", "true", PLACEHOLDER, [PLACEHOLDER], 2**53 + 1]),
)  # fmt: skip


def record(value: bytes | None, key: bytes | None = b'{"id":"a"}', topic: str = TOPIC, **more: Any) -> RawRecord:
    return RawRecord(topic=topic, partition=0, offset=0, key=key, value=value, **more)


def change(**parts: Any) -> bytes:
    after = {"id": "a", "title": "t", "content": "c", "metadata": None, "state": "public"}
    return json.dumps({"op": "u", "after": after, "source": {"lsn": 7, "ts_us": 1}, **parts}).encode()


def answered(found: Any) -> bool:
    return isinstance(found, tuple | Ignored | Poison)


@given(st.none() | st.binary(), st.none() | st.binary())
def test_any_bytes_are_answered(key: bytes | None, value: bytes | None) -> None:
    assert answered(DECODER.decode(record(value, key)))
    assert answered(DECODER.decode(record(value, key, topic=f"__debezium-heartbeat.{PREFIX}")))
    assert answered(DECODER.decode(record(change(op="c"), key, headers=(("__debezium.oldkey", value or b""),))))


@given(st.data())
def test_a_record_with_one_thing_replaced_or_removed_is_answered(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(SAMPLES))
    content = json.loads(sample.value or b"")
    place: Any = copy.deepcopy(content)
    changed = place
    while True:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or not place[name] or data.draw(st.booleans()):
            break
        place = place[name]
    if data.draw(st.booleans()):
        del place[name]
    else:
        place[name] = data.draw(junk)
    found = DECODER.decode(record(json.dumps(changed).encode(), sample.key, headers=sample.headers))
    assert answered(found)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"op": "c", "after": NaN}', "not JSON"),
        (change(op="x"), "operation"),
        (change(op=["c"]), "operation"),
        (change(source=None), "source"),
        (change(source={"lsn": None}), "lsn"),
        (change(source={"lsn": 0}), "lsn"),
        (change(after=None), "after"),
        (change(after={"title": "no key"}), "key"),
    ],
)
def test_what_cannot_be_understood_is_poison_with_its_cause(value: bytes, cause: str) -> None:
    found = DECODER.decode(record(value, key=None))
    assert isinstance(found, Poison)
    assert cause in found.cause


def test_a_row_that_cannot_be_mapped_is_a_dead_letter_of_its_key() -> None:
    after = {"id": "a", "title": "t", "content": "c", "metadata": '"\\ud800"', "state": "public"}
    found = DECODER.decode(record(change(after=after)))
    assert isinstance(found, tuple)
    assert isinstance(found[0], Unprocessable)
    assert "surrogate" in found[0].cause
    assert found[0].key.id == "a"


def test_an_unreadable_old_key_has_the_row_read() -> None:
    after = {"id": "b", "title": "t", "content": PLACEHOLDER, "metadata": None, "state": "public"}
    struct = (("__debezium.oldkey", b"Struct{id=a}"),)
    found = DECODER.decode(record(change(op="c", after=after), key=None, headers=struct))
    assert isinstance(found, tuple)
    assert isinstance(found[0], Upsert)
    assert found[0].previous_key is None
    assert found[0].draft.incomplete


@pytest.mark.parametrize("prefix", ["rag", "rag.", "rag.0", "rag.x", "1", "rag.1.x"])
def test_a_prefix_without_an_epoch_says_how_to_mend_it(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=r"rag\.1"):
        EnvelopeDecoder(prefix, [DOCUMENTS])


def test_the_epoch_is_the_number_at_the_end() -> None:
    assert epoch_of("my.rag.12") == 12


def test_the_placeholder_is_known_in_every_form_that_debezium_gives_it() -> None:
    placeholder = Placeholder()
    update = next(json.loads(each.value or b"") for each in SAMPLES if b"its text unchanged" in (each.value or b""))
    for column in ("content", "metadata", "binary_part", "numbers", "labels", "pairs", "ids"):
        assert placeholder.stands_in(update["after"][column]), column
    assert update["after"]["tags"] is None  # numeric[]: Debezium has no form for it, hence null_is_certain
    assert not placeholder.stands_in(f"{PLACEHOLDER} ")

"""A mapped column that is gone breaks its table until a newer row has it again, whatever the order of arrival."""

import json

from rtrag.adapters.kafka.envelope import EnvelopeDecoder, RawRecord
from unit.adapters.kafka.recorded import DOCUMENTS, PREFIX

ROW = {"id": "a", "title": "t", "content": "c", "metadata": None, "state": "public"}
WITHOUT_CONTENT = {name: value for name, value in ROW.items() if name != "content"}


def decoder() -> EnvelopeDecoder:
    return EnvelopeDecoder(PREFIX, [DOCUMENTS])


def read(decoder: EnvelopeDecoder, row: dict[str, str | None], lsn: int) -> None:
    value = json.dumps({"op": "c", "after": row, "source": {"lsn": lsn, "ts_us": 1}}).encode()
    decoder.decode(RawRecord(topic=f"{PREFIX}.public.documents", partition=0, offset=0, key=b'{"id":"a"}', value=value))


def test_a_row_without_a_mapped_column_breaks_its_table() -> None:
    reading = decoder()
    read(reading, ROW, 1)
    assert reading.broken_tables == {}
    read(reading, WITHOUT_CONTENT, 2)
    assert list(reading.broken_tables) == ["public.documents"]
    assert "'content'" in reading.broken_tables["public.documents"]


def test_a_newer_row_that_has_the_column_mends_it() -> None:
    reading = decoder()
    read(reading, WITHOUT_CONTENT, 2)
    read(reading, ROW, 3)
    assert reading.broken_tables == {}


def test_an_older_row_from_another_partition_changes_nothing() -> None:
    reading = decoder()
    read(reading, WITHOUT_CONTENT, 2)
    read(reading, ROW, 1)
    assert list(reading.broken_tables) == ["public.documents"]
    read(reading, ROW, 3)
    read(reading, WITHOUT_CONTENT, 2)
    assert reading.broken_tables == {}


def test_a_row_that_cannot_be_read_for_another_reason_breaks_nothing() -> None:
    reading = decoder()
    read(reading, {**ROW, "metadata": "no JSON"}, 1)
    assert reading.broken_tables == {}

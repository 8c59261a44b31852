"""Events of every kind that a real Debezium wrote, with schemas and without, become change events."""

from collections.abc import Callable

import pytest

from rtrag.adapters.kafka.envelope import EnvelopeDecoder, Ignored, Poison, RawRecord
from rtrag.domain.change import ChangeEvent, Delete, Truncate, Unprocessable, Upsert
from rtrag.domain.document import MISSING, DocumentKey
from unit.adapters.kafka.recorded import DECODER, FORMS, KEYS, PREFIX, of_table, payload, records

pytestmark = pytest.mark.parametrize("form", FORMS)


def event(form: str, wanted: Callable[[RawRecord], bool], table: str = "documents") -> ChangeEvent:
    """The event of the first record of a table that is wanted."""
    record = next(record for record in of_table(form, table) if record.value and wanted(record))
    found = DECODER.decode(record)
    assert isinstance(found, tuple)
    assert len(found) == 1
    assert found[0].size == record.size > 0
    return found[0]


def titled(title: str) -> Callable[[RawRecord], bool]:
    """Whether the new row of a record has a title."""
    return lambda record: (payload(record).get("after") or {}).get("title") == title


def doing(operation: str, name: str = "") -> Callable[[RawRecord], bool]:
    """Whether a record is of an operation, and its key contains a name."""
    return lambda record: payload(record).get("op") == operation and name in (record.key or b"").decode()


def key(*values: str, table: str = "public.documents") -> DocumentKey:
    return DocumentKey(table, values)


def test_rows_of_the_snapshot_stand_below_every_streamed_change(form: str) -> None:
    copied = event(form, doing("r", "copied-1"))
    assert isinstance(copied, Upsert)
    assert (copied.draft.title, copied.draft.content, copied.commit_time) == ("Copied", "The first.", None)
    streamed = event(form, doing("c", "doc-1"))
    assert copied.position.lsn == 0 < copied.position.ordinal
    assert copied.position < streamed.position
    empty = event(form, doing("r", "copied-2"))
    assert isinstance(empty, Upsert)
    assert empty.draft.content == ""


def test_an_insert_and_an_update_bring_the_whole_row_and_the_time_of_the_commit(form: str) -> None:
    inserted, updated = event(form, doing("c", "doc-1")), event(form, doing("u", "doc-1"))
    assert isinstance(inserted, Upsert)
    assert isinstance(updated, Upsert)
    assert inserted.key == updated.key == key("doc-1")
    assert inserted.draft.metadata == {"tenant": "a", "n": 1.5}
    assert (inserted.draft.content, updated.draft.content) == ("Small.", "Small, changed.")
    assert updated.draft.has_all
    assert inserted.position < updated.position
    assert inserted.position.epoch == 1
    assert updated.commit_time is not None
    assert updated.commit_time.microsecond % 1000  # from source.ts_us, not from milliseconds


def test_an_unchanged_large_value_is_missing(form: str) -> None:
    found = event(form, titled("Big, its text unchanged"))
    assert isinstance(found, Upsert)
    assert found.draft.content is MISSING
    assert found.draft.metadata is MISSING
    assert not found.draft.incomplete


def test_with_the_old_row_at_hand_nothing_is_missing(form: str) -> None:
    found = event(form, titled("Big, with the old row at hand"))
    assert isinstance(found, Upsert)
    assert found.draft.has_all


def test_a_text_that_says_the_placeholder_stays_where_nothing_can_be_missing(form: str) -> None:
    inserted, updated = event(form, doing("c", "quotes")), event(form, doing("u", "quotes"))
    assert isinstance(inserted, Upsert)
    assert isinstance(updated, Upsert)
    assert inserted.draft.content == "__debezium_unavailable_value"
    assert updated.draft.content == "It says __debezium_unavailable_value here."


def test_a_delete_is_a_delete_and_its_tombstone_nothing(form: str) -> None:
    found = event(form, doing("d", "quotes"))
    assert isinstance(found, Delete)
    assert found.key == key("quotes")
    tombstones = [record for record in of_table(form, "documents") if record.value is None]
    assert tombstones
    assert all(isinstance(DECODER.decode(record), Ignored) for record in tombstones)


def test_a_change_of_key_deletes_the_old_and_reads_what_the_new_one_lacks_from_the_table(form: str) -> None:
    deleted = event(form, lambda record: doing("d")(record) and bool(record.headers))
    created = event(form, lambda record: doing("c")(record) and bool(record.headers))
    assert isinstance(deleted, Delete)
    assert isinstance(created, Upsert)
    assert (deleted.key, created.previous_key, created.key) == (key("big"), key("big"), key("big/renamed"))
    assert created.position == deleted.position
    assert created.draft.content is MISSING
    assert created.draft.incomplete


def test_a_row_that_leaves_the_row_filter_is_deleted(form: str) -> None:
    found = event(form, lambda record: (payload(record).get("after") or {}).get("state") == "draft")
    assert isinstance(found, Delete)
    assert found.key == key("doc-1")


def test_a_truncate_is_of_its_table(form: str) -> None:
    for table in ("documents", "keys"):
        found = event(form, doing("t"), table)
        assert isinstance(found, Truncate)
        assert found.table == f"public.{table}"
        assert found.position.lsn > 0


def test_a_row_without_its_content_column_is_kept_as_a_dead_letter_of_its_document(form: str) -> None:
    found = event(form, titled("Without its text"))
    assert isinstance(found, Unprocessable)
    assert found.key == key("doc-1")
    assert "'content'" in found.cause
    assert found.payload["title"] == "Without its text"


def test_keys_are_as_postgresql_prints_them_in_the_order_of_the_key(form: str) -> None:
    expected = key("7", "2024-02-29 10:00:00.5+00", "1.50", table="public.keys")
    assert KEYS.mapping.key_columns == ("c", "a", "b")
    inserted, deleted = event(form, doing("c"), "keys"), event(form, doing("d"), "keys")
    assert isinstance(inserted, Upsert)
    assert isinstance(deleted, Delete)
    assert inserted.key == deleted.key == expected


def test_heartbeats_and_logical_messages_change_nothing(form: str) -> None:
    others = [record for record in records(form) if not record.topic.startswith(f"{PREFIX}.public.")]
    found = [DECODER.decode(record) for record in others]
    assert all(isinstance(each, Ignored) for each in found)
    times = [each.time for each in found if isinstance(each, Ignored) and each.time is not None]
    assert times
    assert any(record.topic == f"{PREFIX}.message" for record in others)


def test_no_recorded_event_is_poison_and_tables_that_are_not_mapped_are_ignored(form: str) -> None:
    assert not [record for record in records(form) if isinstance(DECODER.decode(record), Poison)]
    nothing = EnvelopeDecoder(PREFIX, [])
    assert all(isinstance(nothing.decode(record), Ignored) for record in records(form))

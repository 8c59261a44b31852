"""A value comes out of Debezium's records as it does out of the direct capture, or is read from the table."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.adapters.kafka import scalars
from rtrag.adapters.kafka.envelope import EnvelopeDecoder, Table
from rtrag.adapters.kafka.values import converter_of
from rtrag.adapters.postgres import types
from rtrag.adapters.postgres.catalog import TypeRow, converters_of
from rtrag.adapters.postgres.layout import layout_of
from rtrag.domain.change import Upsert
from rtrag.domain.document import MISSING, DocumentDraft
from rtrag.domain.mapping import TableMapping
from unit.adapters.kafka.recorded import DATA, FORMS, PREFIX, of_table, payload

ROWS: dict[str, Any] = json.loads((DATA / "rows.json").read_text())
COLUMNS = [name for name in ROWS["types"] if name != "id"]
# Of these no row says exactly what the value is: every row is read from the table.
ALWAYS_READ = {
    "titz", "money", "bit1", "bit5", "vb", "pt", "bx", "ci", "li", "ls", "pa", "po", "tr", "mr", "tq", "lsn", "comp",
    "ats", "atz", "ada", "aba", "ain", "aiv", "adom", "atm", "amoney",
}  # fmt: skip


def direct(column: str, row: dict[str, str | None]) -> DocumentDraft | None:
    """The draft that the direct capture makes of a row, whose text PostgreSQL printed."""
    mapping = TableMapping(table="public.kinds", key_columns=("id",), metadata=(column,))
    names = ("id", "content", column)
    kind: str = ROWS["types"][column]
    converters = dict(types.BUILT_IN)
    if ROWS["oids"][column] not in converters:
        converters |= _of_the_user(ROWS["oids"][column], kind)
    layout = layout_of(mapping, [(name, ROWS["oids"][name]) for name in names], converters)
    values = (row[name] for name in names)
    return layout.draft([None if value is None else value.encode() for value in values])


def _of_the_user(oid: int, kind: str) -> dict[int, types.Converter]:
    row = TypeRow(oid=oid, kind="d", base=23, element=0, category="N", delimiter=None)
    array = TypeRow(oid=oid, kind="b", base=0, element=25, category="A", delimiter=",")
    converters = converters_of([row if kind == "integer" else array])
    return converters if kind.endswith("[]") or kind == "integer" else {oid: types.text}


def from_debezium(column: str, form: str, operation: str) -> dict[str, DocumentDraft]:
    """The drafts of all rows of an operation, by key."""
    mapping = TableMapping(table="public.kinds", key_columns=("id",), metadata=(column,))
    names = ("id", "content", column)
    table = Table(mapping=mapping, converters={name: converter_of(ROWS["types"][name]) for name in names})
    decoder = EnvelopeDecoder(PREFIX, [table])
    found = {}
    for record in of_table(form, "kinds"):
        if payload(record).get("op") == operation:
            (event,) = decoder.decode(record)  # type: ignore[misc]
            assert isinstance(event, Upsert)
            found[event.key.id] = event.draft
    return found


@pytest.mark.parametrize("operation", ["r", "c"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_recorded_value_is_the_same_or_read(column: str, operation: str) -> None:
    drafts = from_debezium(column, "bare", operation)
    assert len(drafts) == len(ROWS["rows"])
    same = 0
    for row in ROWS["rows"]:
        if operation == "r" and column == "da" and (row["da"] or "").endswith("BC"):
            continue  # Debezium's snapshots leave the era out: known, and found by verify
        expected, found = direct(column, row), drafts[row["id"]]
        if found.incomplete or found.metadata is MISSING:
            assert found.metadata is MISSING, "what is read is not taken from the record"
            assert found.incomplete, "what is unknown must not be taken from the index"
        else:
            assert found == expected
            assert repr(found) == repr(expected)  # 1 is not 1.0, nor True
            same += row[column] is not None
    assert (same == 0) == (column in ALWAYS_READ)


@pytest.mark.parametrize("column", COLUMNS)
def test_records_with_schemas_give_the_same(column: str) -> None:
    for operation in ("r", "c"):
        assert from_debezium(column, FORMS[0], operation) == from_debezium(column, FORMS[1], operation)


@pytest.mark.parametrize("column", ["ts", "tz", "da", "ti", "iv", "jb", "i8", "r", "b", "u", "pt", "titz"])
def test_a_record_that_describes_itself_needs_no_catalog_for_these_types(column: str) -> None:
    mapping = TableMapping(table="public.kinds", key_columns=("id",), metadata=(column,))
    decoder = EnvelopeDecoder(PREFIX, [Table(mapping=mapping, converters={})])
    drafts = from_debezium(column, "with-schemas", "c")
    described = [decoder.decode(each) for each in of_table("with-schemas", "kinds") if payload(each).get("op") == "c"]
    found = {event[0].key.id: event[0].draft for event in described if isinstance(event, tuple)}  # type: ignore[union-attr]
    assert found == drafts


@given(st.decimals(allow_nan=False, allow_infinity=False).map(lambda value: format(value, "f")))
def test_a_numeric_converts_as_in_the_direct_capture(shown: str) -> None:
    assert repr(scalars.numeric(shown)) == repr(types.numeric(shown))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_a_json_document_converts_as_in_the_direct_capture(value: Any) -> None:
    shown = json.dumps(value)
    try:
        expected = types.document(shown)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)):
            scalars.json_document(shown)
        return
    assert repr(scalars.json_document(shown)) == repr(expected)


@pytest.mark.parametrize(
    ("iso", "expected"),
    [
        ("P0Y0M0DT0H0M0S", "00:00:00"),
        ("P1Y0M0DT0H0M0S", "1 year"),
        ("P-1Y-2M3DT-4H-5M-6.000001S", "-1 years -2 mons +3 days -04:05:06.000001"),
        ("P0Y0M-1DT0H0M1.5S", "-1 days +00:00:01.5"),
        ("P0Y0M0DT0H0M-0.5S", "-00:00:00.5"),
    ],
)
def test_an_interval_prints_as_in_postgresql(iso: str, expected: str) -> None:
    assert scalars.interval(iso) == expected

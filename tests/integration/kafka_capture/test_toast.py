"""An update that leaves a large text untouched arrives with a placeholder for it: never indexed, nothing lost."""

import json
from collections.abc import Iterator

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import way

from integration.kafka_capture.place import Place, instance_at, messages, sql, until

PLACEHOLDER = "__debezium_unavailable_value"
TABLES = b"""
CREATE TABLE documents (id text PRIMARY KEY, title text, content text, metadata json, state text DEFAULT 'public');
ALTER TABLE documents ALTER content SET STORAGE EXTERNAL;
"""
COLLECTIONS = json.dumps(
    [
        {
            "name": "documents",
            "tables": [
                {
                    "table": "public.documents",
                    "title": "title",
                    "metadata": ["metadata"],
                    "row_filter": [{"field": "state", "operator": "ne", "value": "draft"}],
                }
            ],
        }
    ]
)


@pytest.fixture(scope="module")
def place(stack_addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with way(stack_addresses, TABLES) as own:
        own.connect()
        sql(own, "INSERT INTO documents VALUES ('first', '', 'So that there is a topic.')")
        with instance_at(own, tmp_path_factory.mktemp("toast"), {"RTRAG_COLLECTIONS": COLLECTIONS}) as place:
            yield place


def text(topic: str) -> str:
    """About 20,000 characters about a topic: too large to stay in the row."""
    return "\n\n".join(f"Paragraph {number} tells of {topic}, in words of its own." * 4 for number in range(100))


def updates_without_text(place: Place, key: str) -> int:
    """How many records of the document came with the placeholder."""
    values = [message.value() for message in messages(place.way, f"{place.way.prefix}.public.documents")]
    rows = [json.loads(value)["after"] for value in values if value is not None]
    return sum(row is not None and row["id"] == key and row["content"] == PLACEHOLDER for row in rows)


def test_the_indexed_text_stays_and_nothing_is_embedded_again(place: Place) -> None:
    place.write("kept", "INSERT INTO documents VALUES ('kept', 'Before', %s, '{\"n\": 1}')", text("lighthouses"))
    before = place.totals()
    place.write("kept", "UPDATE documents SET metadata = '{\"n\": 2}' WHERE id = 'kept'")
    after = place.totals()
    assert updates_without_text(place, "kept") == 1
    assert "lighthouses" in place.shown("lighthouses")["kept"]
    assert after["embedded_characters"] == before["embedded_characters"]
    assert after["rows_read"] == before["rows_read"]
    assert place.differences() == []


def test_a_text_that_is_not_indexed_is_read_from_its_row(place: Place) -> None:
    place.sql("INSERT INTO documents VALUES ('draft', 'Draft', %s, '{}', 'draft')", text("windmills"))
    place.settle()
    assert "draft" not in place.shown("windmills")
    before = place.totals()
    place.write("draft", "UPDATE documents SET state = 'public' WHERE id = 'draft'")
    assert updates_without_text(place, "draft") == 1
    assert "windmills" in place.shown("windmills")["draft"]
    assert place.totals()["rows_read"] == before["rows_read"] + 1
    assert place.differences() == []


def test_a_text_that_a_dead_letter_holds_back_is_read_from_its_row(place: Place) -> None:
    place.sql("INSERT INTO documents VALUES ('held', 'Held', %s, '{}')", text("glaciers"))
    half = '{"half of a surrogate pair": "\\ud800"}'
    place.sql("UPDATE documents SET content = %s, metadata = %s WHERE id = 'held'", text("volcanoes"), half)
    place.settle()
    assert list(place.letters()) == ["held"]
    assert "glaciers" in place.shown("glaciers")["held"]
    place.write("held", "UPDATE documents SET metadata = '{}' WHERE id = 'held'")
    assert updates_without_text(place, "held") == 1
    assert "volcanoes" in place.shown("volcanoes")["held"]
    assert "glaciers" not in place.shown("glaciers")["held"]
    until(lambda: place.letters() == {}, "the letters have closed, which they do when the index is durable")
    assert place.differences() == []


def test_the_placeholder_is_never_found(place: Place) -> None:
    assert not [text for text in place.shown(PLACEHOLDER).values() if PLACEHOLDER in text]


def test_a_text_that_quotes_the_placeholder_is_a_text(place: Place) -> None:
    quotation = f"Debezium writes {PLACEHOLDER} here."
    place.write("quotes", "INSERT INTO documents VALUES ('quotes', 'Quotes', %s)", quotation)
    assert PLACEHOLDER in place.shown(PLACEHOLDER)["quotes"]

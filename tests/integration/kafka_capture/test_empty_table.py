"""A mapped table without rows has no topic yet: the others go on, and its first row arrives."""

import json
from importlib.resources import files
from pathlib import Path

from benchmarks.stack import Stack as Addresses
from benchmarks.stack import way

from integration.kafka_capture.place import instance_at, sql, until

NOTES = b"CREATE TABLE notes (id text PRIMARY KEY, content text NOT NULL DEFAULT '');"
COLLECTIONS = [
    {
        "name": "everything",
        "tables": [
            {"table": "public.documents", "title": "title", "content": "content"},
            {"table": "public.notes", "content": "content"},
        ],
    }
]


def test_a_table_without_rows_holds_up_no_other_and_its_first_row_is_found(
    stack_addresses: Addresses, tmp_path: Path
) -> None:
    schema = (files("rtrag.adapters.postgres") / "schema.sql").read_bytes()
    with way(stack_addresses, schema + NOTES) as own:
        sql(own, "INSERT INTO documents (id, content) VALUES ('doc-1', 'Ferries leave at dawn.')")
        own.connect({"table.include.list": "public.documents,public.notes"})
        with instance_at(own, tmp_path, {"RTRAG_COLLECTIONS": json.dumps(COLLECTIONS)}) as place:
            place.write("doc-1", "UPDATE documents SET content = 'Ferries leave at dusk.' WHERE id = 'doc-1'")
            assert place.shown("ferries") == {"doc-1": "Ferries leave at dusk."}
            assert place.totals()["reconnects"] == 0
            place.sql("INSERT INTO notes (id, content) VALUES ('n-1', 'Tides turn at noon.')")
            until(lambda: place.shown("tides").get("n-1") == "Tides turn at noon.", "the first row is found")
            assert place.problems() == []

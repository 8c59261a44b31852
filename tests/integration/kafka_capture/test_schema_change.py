"""Columns come and go under way: an added one changes nothing, a mapped one that is dropped is told and kept apart."""

from collections.abc import Iterator

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import way

from integration.kafka_capture.place import Place, instance_at, sql, until


@pytest.fixture(scope="module")
def place(stack_addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with way(stack_addresses) as own:
        sql(own, "INSERT INTO documents (id, content) VALUES ('doc-1', 'Harbours are dredged in spring.')")
        own.connect()
        with instance_at(own, tmp_path_factory.mktemp("schema")) as place:
            yield place


def test_an_added_column_is_ignored(place: Place) -> None:
    place.sql("ALTER TABLE documents ADD COLUMN reviewed boolean NOT NULL DEFAULT true")
    place.write("doc-1", "UPDATE documents SET content = 'Harbours are dredged in autumn.', reviewed = false")
    assert place.shown("harbours") == {"doc-1": "Harbours are dredged in autumn."}
    assert place.problems() == []
    assert place.differences() == []


def test_a_dropped_content_column_is_told_and_its_changes_are_kept_as_dead_letters(place: Place) -> None:
    place.sql("ALTER TABLE documents RENAME COLUMN content TO body")
    place.sql("UPDATE documents SET title = 'Dredging' WHERE id = 'doc-1'")
    place.sql("INSERT INTO documents (id, body) VALUES ('doc-2', 'Locks are opened at noon.')")
    place.settle()
    letters = place.letters()
    assert sorted(letters) == ["doc-1", "doc-2"]
    assert all("no longer has the column 'content'" in cause for cause in letters.values())
    assert ["public.documents" in problem and "'content'" in problem for problem in place.problems()] == [True]
    assert place.shown("harbours") == {"doc-1": "Harbours are dredged in autumn."}


def test_when_the_column_is_back_the_letters_can_be_replayed_and_it_is_ready_again(place: Place) -> None:
    place.sql("ALTER TABLE documents RENAME COLUMN body TO content")
    place.write("doc-3", "INSERT INTO documents (id, content) VALUES ('doc-3', 'Buoys are painted.')")
    assert place.problems() == []
    assert place.replay_all() == 2
    until(lambda: place.letters() == {}, "the letters have closed, which they do when the index is durable")
    assert place.shown("locks at noon")["doc-2"] == "Locks are opened at noon."
    assert place.differences() == []

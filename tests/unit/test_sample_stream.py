"""The sample stream in the repository is what its script writes, and is a stream like any other."""

from pathlib import Path

import pytest
from benchmarks.streams import Stream, commits, names
from scripts.make_sample_stream import NAME, files

FOLDER = Path(__file__).resolve().parents[1] / "data" / "streams"
STREAM = Stream(folder=FOLDER, name=NAME)


@pytest.mark.parametrize("name", files())
def test_the_files_are_those_that_the_script_writes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == files()[name]


def test_every_event_finds_what_it_needs_and_changes_something() -> None:
    contents = {document.id: document.content for document in STREAM.start()}
    for event in STREAM.events():
        before = contents.pop(event.previous_id, None)
        assert (before is None) == (event.operation == "insert")
        assert event.operation == "rename" or event.content != before
        assert event.id not in contents
        if event.content is not None:
            contents[event.id] = event.content


def test_there_is_something_of_every_kind() -> None:
    batches = list(commits(STREAM.events()))
    assert {event.operation for batch in batches for event in batch} == {"insert", "update", "delete", "rename"}
    assert any(len(batch) > 1 for batch in batches)
    assert {Path(document.id).suffix for document in STREAM.start()} == {".md", ".rst"}
    assert any(len({entry.value for entry in fact.history}) > 1 for fact in STREAM.facts())
    assert names(FOLDER) == (NAME,)


def test_the_right_answer_to_every_question_stands_in_the_document_named() -> None:
    contents = {document.id: document.content for document in STREAM.start()}
    for event in STREAM.events():
        contents.pop(event.previous_id, None)
        if event.content is not None:
            contents[event.id] = event.content
        for fact in STREAM.facts():
            entry = fact.after(event.seq)
            assert entry is not None
            assert f"\n{fact.field}: {entry.value}\n" in contents[entry.id]


def test_events_of_one_commit_come_together_and_a_limit_cuts_the_last() -> None:
    assert [event.seq for batch in commits(STREAM.events(), 7) for event in batch] == [1, 2, 3, 4, 5, 6, 7]
    assert list(commits(STREAM.events(), 0)) == []


def test_a_stream_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="streams there: sample"):
        list(Stream(folder=FOLDER, name="other").events())
    assert Stream(folder=tmp_path, name="other").reuse() is None

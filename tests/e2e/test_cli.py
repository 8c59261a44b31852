"""The commands against a running instance, and against a folder where none runs."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.instances import Up, command, environment, rtrag, running_up


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An instance for all tests of this module."""
    with running_up(tmp_path_factory.mktemp("cli")) as up:
        yield up


def result(up: Up, *arguments: str) -> Any:
    """The JSON that a command prints."""
    done = rtrag(up.folder, *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_question_is_answered_with_citations(up: Up) -> None:
    done = rtrag(up.folder, "query", "How much does a monthly subscription cost?")
    assert done.code == 0, done.err
    assert "44.00 EUR" in done.out
    assert "public.documents/doc-1, version 1" in done.out
    answer = result(up, "query", "How much does a monthly subscription cost?", "-f", "topic=sales")
    assert {source["metadata"]["topic"] for source in answer["sources"]} == {"sales"}


@pytest.mark.parametrize("plain", ["cli/first.md", "100% sure", "pep-0001.rst"])
def test_a_document_is_added_found_read_and_removed(up: Up, plain: str) -> None:
    word = f"zanzibar{abs(hash(plain))}"
    added = result(up, "docs", "add", "--content", f"The word is {word}.", "--id", plain, "--title", "T", "-m", "a=b")
    answer = result(up, "query", f"What is the word {word}?", "--token", added["token"])
    assert answer["citations"][0]["id"] == added["id"]
    for given in {plain.replace("%", "%25"), added["id"]}:
        document = result(up, "docs", "get", given)
        assert (document["content"], document["metadata"]) == (f"The word is {word}.", {"a": "b"})
    assert plain in [
        json.loads(f'"{d["key"]}"').split("/", 1)[1].replace("%2F", "/").replace("%25", "%")
        for d in result(up, "docs", "list", "--search", word)["documents"]
    ]
    removed = result(up, "docs", "rm", added["id"])
    gone = result(up, "query", f"What is the word {word}?", "--token", removed["token"])
    assert added["id"] not in [source["id"] for source in gone["sources"]]
    assert rtrag(up.folder, "docs", "get", added["id"]).code == 1


def test_files_are_imported_and_only_what_differs_is_changed(up: Up, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("# Alpha\n\nThe alpha particle is heavy.\n")
    (tmp_path / "b.jsonl").write_text('{"id": "line-1", "content": "one"}\n{"id": "line-2", "content": "two"}\n')
    first = rtrag(up.folder, "import", str(tmp_path))
    assert "3 added, 0 changed, 0 unchanged." in first.out, first.err
    (tmp_path / "sub" / "a.md").write_text("# Alpha\n\nThe alpha particle is light.\n")
    second = rtrag(up.folder, "import", str(tmp_path))
    assert "0 added, 1 changed, 2 unchanged." in second.out, second.err
    (tmp_path / "bad.md").write_bytes(b"caf\xe9")
    third = rtrag(up.folder, "import", str(tmp_path))
    assert third.code == 1
    assert "bad.md" in third.err
    assert "0 added, 0 changed, 3 unchanged." in third.out


def test_the_instance_is_watched_verified_and_mended(up: Up) -> None:
    assert result(up, "status")["ready"]
    assert result(up, "verify")["consistent"]
    assert result(up, "verify", "--repair")["differences"] == []
    assert result(up, "dlq", "list")["total"] == 0
    assert rtrag(up.folder, "dlq", "show", "public.documents/none").code == 1
    assert result(up, "dlq", "replay", "--all")["still_open"] == 0
    assert rtrag(up.folder, "dlq", "replay").code == 2
    findings = result(up, "doctor")
    assert any(f["what"] == "running instance" and up.url in f["detail"] for f in findings)


def test_following_prints_the_answer_again_when_it_changes(up: Up) -> None:
    result(up, "docs", "add", "--id", "follow", "--content", "The quokka sleeps in building one.")
    following = subprocess.Popen(
        command(("query", "Where does the quokka sleep?", "--follow")),
        cwd=up.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert following.stdout is not None
    try:
        assert "building one" in following.stdout.readline()
        sql = "UPDATE documents SET content = 'The quokka sleeps in building two.' WHERE id = 'follow'"
        assert rtrag(up.folder, "psql", "-qc", sql).code == 0
        deadline = time.monotonic() + 30
        while "building two" not in following.stdout.readline():
            assert time.monotonic() < deadline
    finally:
        following.send_signal(2)
        _, err = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "Traceback" not in err


def test_an_address_can_be_given_and_a_wrong_one_is_named(up: Up, tmp_path: Path) -> None:
    assert rtrag(tmp_path, "--url", up.url, "status").code == 0
    wrong = rtrag(tmp_path, "--url", "http://127.0.0.1:1", "status")
    assert wrong.code == 1
    assert "http://127.0.0.1:1" in wrong.err
    assert "rtrag up" in wrong.err
    assert rtrag(tmp_path, "--url", "ftp://x", "status").code == 2


def test_a_command_opens_the_folder_itself_when_no_instance_runs(tmp_path: Path) -> None:
    added = rtrag(tmp_path, "docs", "add", "--id", "alone", "--content", "The wombat digs at night.", "--json")
    assert added.code == 0, added.err
    asked = rtrag(tmp_path, "query", "When does the wombat dig?", "--json")
    assert asked.code == 0, asked.err
    assert json.loads(asked.out)["citations"][0]["id"] == "alone"
    assert rtrag(tmp_path, "psql", "-qtAc", "SELECT count(*) FROM documents").out.strip() == "1"
    stopped = rtrag(tmp_path, "status")
    assert stopped.code == 1
    assert "rtrag up" in stopped.err

"""Files become documents."""

from pathlib import Path

import pytest

from rtrag.entrypoints.cli.files import FoundDocument, UnreadableFileError, count_documents, find_files, read


def found(file: Path, source: Path) -> list[FoundDocument]:
    """The documents of a file without errors."""
    documents = [item for item in read(file, source) if isinstance(item, FoundDocument)]
    assert len(documents) == len(list(read(file, source)))
    return documents


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("a.md", "Intro\n\n# The title #\n\ntext", "The title"),
        ("a.md", "---\ntitle: 'From front matter'\n---\n# Heading\n", "From front matter"),
        ("a.md", "## Only a second level\n", "a"),
        ("a.rst", "=====\nTitle\n=====\n\ntext\n", "Title"),
        ("a.rst", "Title\n-----\n\ntext\n", "Title"),
        ("pep-0001.rst", "PEP: 1\nTitle: PEP Purpose and Guidelines\nAuthor: B\n\nAbstract\n====\n", None),
        ("a.html", "<html><head><TITLE>A &amp; B</TITLE></head><h1>other</h1>", "A & B"),
        ("a.htm", "<h1 class='x'>Big <em>deal</em></h1>", "Big deal"),
        ("notes.txt", "# not a heading here", "notes"),
    ],
)
def test_the_title_is_the_first_heading(tmp_path: Path, name: str, content: str, title: str | None) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    (document,) = found(file, tmp_path)
    assert document.title == (title or "PEP Purpose and Guidelines")
    assert document.content == content


def test_a_files_id_is_its_path_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a b.md").write_text("x", encoding="utf-8")
    (document,) = found(tmp_path / "docs" / "a b.md", tmp_path)
    assert (document.id, document.path_id) == ("docs/a b.md", "docs%2Fa b.md")
    (alone,) = found(tmp_path / "docs" / "a b.md", tmp_path / "docs" / "a b.md")
    assert alone.id == "a b.md"


def test_line_ends_are_kept_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\r\ntwo\rthree\n")
    (document,) = found(file, tmp_path)
    assert document.content == "one\r\ntwo\rthree\n"


def test_hidden_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    for name in ("b.MD", "a.md", "c.png", ".hidden.md", ".git/x.md", "sub/d.jsonl"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert [file.relative_to(tmp_path).as_posix() for file in find_files(tmp_path)] == ["a.md", "b.MD", "sub/d.jsonl"]


def test_json_lines_bring_their_own_ids(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(
        '{"id": 7, "title": "T", "content": "x\\u2028y", "metadata": {"a": 1}}\n\n{"content": "z"}\n', "utf-8"
    )
    first, second = found(file, tmp_path)
    assert (first.id, first.title, first.content, first.metadata) == ("7", "T", "x\u2028y", {"a": 1})
    assert (second.id, second.title) == (None, "")
    assert count_documents(file) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "text `content`"),
        ('{"content": 1}', "text `content`"),
        ('{"content": "x", "text": "y"}', "'text'"),
        ('{"content": "x", "metadata": [1]}', "no object"),
    ],
)
def test_a_line_that_is_no_document_is_named_and_the_others_are_read(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"content": "fine"}\n' + line + '\n{"content": "fine as well"}\n', "utf-8")
    first, broken, last = read(file, tmp_path)
    assert isinstance(broken, UnreadableFileError)
    assert "a.jsonl:2" in str(broken)
    assert message in str(broken)
    assert isinstance(first, FoundDocument)
    assert isinstance(last, FoundDocument)
    assert last.content == "fine as well"


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"caf\xe9")
    (broken,) = read(file, tmp_path)
    assert isinstance(broken, UnreadableFileError)
    assert "not UTF-8" in str(broken)

"""The format comes from the ending of the name, else from what the content looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.chunking import detect_format
from rtrag.domain.document import Format

RST = "Title\n=====\n\n.. note:: something\n\nText::\n\n    code\n"
MARKDOWN = "# Title\n\nSee [this](https://example.org).\n\n```sh\nls\n```\n"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("guide.md", "markdown"),
        ("docs/Guide.MARKDOWN", "markdown"),
        ("pep-0008.rst", "rst"),
        ("index.html", "html"),
        ("a.b/index.HTM", "html"),
    ],
)
def test_a_known_ending_decides_whatever_the_content(name: str, form: Format) -> None:
    assert {detect_format(name, content) for content in ("", RST, MARKDOWN, "<p>x</p>")} == {form}


@pytest.mark.parametrize("name", ["doc-1", "", "notes.txt", "v1.2"])
@pytest.mark.parametrize(
    ("content", "form"),
    [
        (RST, "rst"),
        (MARKDOWN, "markdown"),
        ("---\ntitle: x\n---\nText.\n", "markdown"),
        ("PEP: 1\nTitle: Some\nStatus: Active\n\nAbstract\n\n    See ``# this`` and [that](#x).\n", "rst"),
        ("<!DOCTYPE html>\n<html><body>x</body></html>", "html"),
        ("  <h1>Title</h1>", "html"),
        ("Title\n=====\n\nText alone reads the same in both.\n", "markdown"),
        ("Title\n~~~~~\n\nText.\n", "rst"),
        ("Just a few words. And a few more - with a dash.\n", "text"),
        ("1 < 2, and 3 > 2.", "text"),
        ("", "text"),
    ],
)
def test_without_one_the_content_decides(name: str, content: str, form: Format) -> None:
    assert detect_format(name, content) == form


@given(st.text(max_size=20), st.text(alphabet=st.characters(exclude_categories=()), max_size=200))
def test_every_name_and_content_has_one_format(name: str, content: str) -> None:
    found = detect_format(name, content)
    assert found in {"markdown", "rst", "html", "text"}
    assert detect_format(name, content) == found

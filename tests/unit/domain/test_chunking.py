"""Chunking loses nothing, keeps what belongs together, and stays put where nothing was edited."""

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtrag.domain.chunk import Chunk
from rtrag.domain.chunking import header_fields, split
from rtrag.domain.chunking.fragments import MAX_CHARS
from rtrag.domain.document import Format

FORMATS: tuple[Format, ...] = get_args(Format)
LIMIT = MAX_CHARS + 300  # a chunk may go over by the headings glued to its first fragment

any_format = st.sampled_from(FORMATS)
any_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=300)
pieces = st.sampled_from(
    [
        "# Heading\n", "## Deeper ##\n", "Setext\n===\n", "Under\n-----\n", "=====\nOver\n=====\n", "---\n",
        "key: value\n", "```python\n# no heading\n", "```\n", "~~~\n", "- item\n", "  more of it\n", "1. one\n",
        "| a | b |\n|---|---|\n", "<!-- open", "-->\n", "    code\n", "\n", "\r\n", "\r", "\x00", "\ud800", "\x0c",
        "\u2028", " ", "\t",
        "<h2>Title</h2>", "<pre>", "</pre>", "<p>", "A sentence. Another one! A third?\n", "text::\n", ".. note:: x\n",
        ":field: value\n", "word " * 300, "x" * 1500, "\n" * 50, " " * 1200,
    ]
)  # fmt: skip
documents = st.lists(pieces, max_size=25).map("".join)
vocabulary = st.sampled_from(["harbour", "crane", "ferry", "signal", "tide", "anchor", "rope", "quay"])
paragraphs = st.lists(vocabulary, min_size=5, max_size=60).map(lambda found: " ".join(found).capitalize() + ".")
long_paragraphs = st.lists(vocabulary, min_size=80, max_size=110).map(lambda found: " ".join(found).capitalize() + ".")


def texts(chunks: tuple[Chunk, ...]) -> list[str]:
    return [chunk.text for chunk in chunks]


@given(any_text, any_format)
@example("\ud800\r\n\x00", "markdown")
@example("no newline at the end", "rst")
def test_the_chunks_of_any_text_join_to_that_text(content: str, form: Format) -> None:
    assert "".join(texts(split(content, form))) == content


@given(documents, any_format)
def test_the_chunks_of_any_structure_join_to_the_content_and_are_bounded(content: str, form: Format) -> None:
    chunks = split(content, form)
    assert "".join(texts(chunks)) == content
    assert all(len(" ".join(chunk.text.split())) <= LIMIT for chunk in chunks if chunk.kind == "body")
    assert split(content, form) == chunks


@given(documents, any_format)
@example(" " * 1500 + "<!-- open", "html")
@example("\n" * 1500 + "<h1>Title</h1><p>Text", "html")
@example("\n" * 1500 + "# Title\n\nText", "markdown")
@example(" " * 1500 + "\nTitle\n=====\n\nText", "rst")
@example("\t\n" * 800 + "Text", "text")
def test_white_space_never_stands_alone(content: str, form: Format) -> None:
    chunks = split(content, form)
    assert all(chunk.text for chunk in chunks)
    assert all(chunk.text.strip() for chunk in chunks) or len(chunks) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_content_has_no_chunks(form: Format) -> None:
    assert split("", form) == ()


@pytest.mark.parametrize("form", FORMATS)
def test_one_line_of_a_megabyte_is_cut_and_kept(form: Format) -> None:
    content = "lorem ipsum dolor sit amet " * 40_000
    chunks = split(content, form)
    assert "".join(texts(chunks)) == content
    assert max(map(len, texts(chunks))) <= MAX_CHARS


def sectioned(form: Format, sections: list[list[str]]) -> str:
    """A content of sections with numbered headings, each long enough to stand alone."""
    parts = []
    for number, body in enumerate(sections):
        title = f"Section {number}"
        heading = {"markdown": f"## {title}", "rst": f"{title}\n{'=' * len(title)}", "html": f"<h2>{title}</h2>"}[form]
        mark = "<p>" if form == "html" else ""
        parts.append(
            "\n\n".join([heading, *(mark + text for text in body), mark + "A closing sentence of a page. " * 8])
        )
    return "\n\n".join(parts) + "\n"


@given(
    st.sampled_from(["markdown", "rst", "html"]),
    st.lists(st.lists(paragraphs, min_size=1, max_size=8), min_size=2, max_size=5),
    st.data(),
)
@settings(max_examples=60)
def test_editing_a_paragraph_changes_no_chunk_of_another_section(
    form: Format, sections: list[list[str]], data: st.DataObject
) -> None:
    edited = data.draw(st.integers(0, len(sections) - 1))
    place = data.draw(st.integers(0, len(sections[edited]) - 1))
    after = [list(body) for body in sections]
    after[edited][place] = data.draw(paragraphs)
    old, new = split(sectioned(form, sections), form), split(sectioned(form, after), form)
    path = (f"Section {edited}",)
    assert [c for c in old if c.heading_path != path] == [c for c in new if c.heading_path != path]


@given(st.lists(long_paragraphs, min_size=2, max_size=8), st.data())
@settings(max_examples=60)
def test_editing_a_paragraph_that_keeps_its_length_changes_only_the_chunk_it_is_in(
    body: list[str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    after = [*body[:place], body[place].upper(), *body[place + 1 :]]
    old, new = split("\n\n".join(body), "text"), split("\n\n".join(after), "text")
    changed = [(left, right) for left, right in zip(old, new, strict=True) if left != right]
    assert len(changed) == 1
    assert after[place] in changed[0][1].text


def paths(content: str, form: Format) -> list[tuple[str, ...]]:
    return [chunk.heading_path for chunk in split(content, form)]


BODY = "The quay is closed while a crane moves. " * 8
NESTED: dict[Format, str] = {
    "markdown": f"# Top #\n\n{BODY}\n\n## Inner `code`\n\n{BODY}\n\nOther\n=====\n\n{BODY}",
    "rst": f"===\nTop\n===\n\n{BODY}\n\nInner `code`\n============\n\n{BODY}\n\n=====\nOther\n=====\n\n{BODY}",
    "html": f"<h1>Top</h1><p>{BODY}</p><h2 id='x'>Inner <em>`code`</em></h2>\n<p>{BODY}</p><H1>Other</H1><p>{BODY}</p>",
}


@pytest.mark.parametrize("form", NESTED)
def test_chunks_know_the_headings_above_them(form: Format) -> None:
    assert paths(NESTED[form], form) == [("Top",), ("Top", "Inner `code`"), ("Other",)]


@pytest.mark.parametrize("form", NESTED)
def test_a_heading_stays_with_what_stands_below_it(form: Format) -> None:
    starts = [chunk.text[:60] for chunk in split(NESTED[form], form)]
    assert all(title in start for title, start in zip(("Top", "Inner", "Other"), starts, strict=True))
    assert all("The quay" in start for start in starts)


def test_a_heading_without_text_goes_with_the_section_below() -> None:
    (chunk,) = split(f"# Top\n\n## Inner\n\n{BODY}", "markdown")
    assert chunk.heading_path == ("Top", "Inner")


def test_short_sections_side_by_side_share_a_chunk_under_the_headings_they_share() -> None:
    (first, second) = split(f"# Top\n\n{BODY * 2}\n\n## A\n\nShort.\n\n## B\n\nShort too.\n", "markdown")
    assert first.heading_path == ("Top",)
    assert (second.heading_path, second.text) == (("Top",), "## A\n\nShort.\n\n## B\n\nShort too.\n")


def test_text_never_joins_a_section_of_a_higher_level() -> None:
    assert paths(f"# A\n\n{BODY}\n\n## Tiny\n\nx.\n\n# B\n\n{BODY}", "markdown")[-1] == ("B",)


@pytest.mark.parametrize("fence", ["```", "~~~~", "- ```", "   ```sh"])
def test_number_signs_in_a_fence_are_no_headings(fence: str) -> None:
    close = fence.strip(" -sh")
    content = f"# Top\n\n{fence}\n# comment\n\n## comment\n  {close}\n\nAfter.\n"
    assert paths(content, "markdown") == [("Top",)]


def test_a_fence_that_fits_is_not_cut() -> None:
    code = "```python\n" + "call(argument)\n\n" * 50 + "```\n"
    content = f"{BODY}\n\n{code}\n{BODY}\n"
    assert any(code in chunk.text for chunk in split(content, "markdown"))


def test_a_list_that_is_too_long_is_cut_between_items() -> None:
    content = "".join(f"- item {number} of a list that goes on and on\n  in a second line\n" for number in range(60))
    assert all(text.startswith("- item") for text in texts(split(content, "markdown")))


def test_a_table_that_is_too_long_is_cut_between_rows() -> None:
    content = "| a | b |\n|---|---|\n" + "".join(f"| row {number} | some value in it |\n" for number in range(90))
    assert all(text.startswith("|") and text.endswith("|\n") for text in texts(split(content, "markdown")))


def test_a_paragraph_that_is_too_long_is_cut_after_sentences() -> None:
    content = "A sentence of some words ends here. " * 90
    assert all(text.endswith("here. ") for text in texts(split(content, "text")))


def test_text_that_ends_in_a_colon_is_not_parted_from_what_it_introduces() -> None:
    content = f"{'Some words here. ' * 30}\n\nRun this::\n\n    {'command --flag ' * 20}\n\n{BODY}\n"
    assert any("Run this" in text and "command" in text for text in texts(split(content, "rst")))


FRONT_MATTER: list[tuple[Format, str, dict[str, Any]]] = [
    (
        "markdown",
        "---\ntitle: A: b\nn: 3\nok: true\ntags: [x, 'y']\n---\n\n",
        {"title": "A: b", "n": 3, "ok": True, "tags": ["x", "y"]},
    ),
    (
        "markdown",
        "---\n# note\nlist:\n- a\n- 2.5\ntext: |\n  one\n  two\n...\n",
        {"list": ["a", 2.5], "text": "one\ntwo"},
    ),
    ("markdown", "---\r\ndate: 2024-02-29\r\nempty:\r\n---\r\n", {"date": "2024-02-29", "empty": None}),
    (
        "markdown",
        '---\nq: "a \\"b\\""\nmap: {a: 1}\nodd: [a, [b]]\n---\n',
        {"q": 'a "b"', "map": "{a: 1}", "odd": "[a, [b]]"},
    ),
    ("rst", "PEP: 1\nTitle: Purpose\nAuthor: A,\n        B\n\n", {"PEP": "1", "Title": "Purpose", "Author": "A, B"}),
    ("rst", ":Author: Me\n:Status: Draft\n\n", {"Author": "Me", "Status": "Draft"}),
]


@pytest.mark.parametrize(("form", "head", "fields"), FRONT_MATTER)
def test_front_matter_is_a_chunk_of_its_own_and_its_fields_are_metadata(
    form: Format, head: str, fields: dict[str, Any]
) -> None:
    content = f"{head}Body.\n"
    assert header_fields(content, form) == fields
    assert split(content, form) == (Chunk(text=head, kind="front_matter"), Chunk(text="Body.\n"))


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("markdown", "---\n\nA thematic break.\n\n---\n"),
        ("markdown", "---\nkey: never closed\n"),
        ("rst", "Note: one line is a sentence, not a header.\n\nText.\n"),
        ("text", "---\nkey: value\n---\n"),
        ("markdown", "Text.\n\n---\nkey: value\n---\n"),
    ],
)
def test_what_only_looks_like_front_matter_is_body(form: Format, content: str) -> None:
    assert header_fields(content, form) == {}
    assert all(chunk.kind == "body" for chunk in split(content, form))


@given(st.one_of(any_text, documents), any_format)
def test_header_fields_of_any_text_never_raise(content: str, form: Format) -> None:
    assert isinstance(header_fields("---\nkey: " + content, form), dict)
    assert isinstance(header_fields("---\nkey: " + content + "\n---\n", form), dict)


HOSTILE: dict[str, Callable[[int], str]] = {
    "blank lines": lambda n: "\n" * n,
    "spaces": lambda n: " " * n,
    "list of blanks": lambda n: "-\n\n" * n,
    "open fences": lambda n: "```a\n~~~b\n" * n,
    "closed and opened": lambda n: "```\n```\n\n" * n,
    "open comments": lambda n: "<!-- \n\n" * n,
    "open tags": lambda n: "<h1>" * n,
    "open pre": lambda n: "<pre><script><!--" * n,
    "angle brackets": lambda n: "<" * n,
    "underlines": lambda n: "==\n" * n,
    "titles": lambda n: "a\n=\n" * n,
    "deep headings": lambda n: "# a\n## b\n### c\n" * n,
    "quotes after a full stop": lambda n: "." + '"' * n,
    "full stops": lambda n: "." * n,
    "backticks": lambda n: "`" * n,
    "rules": lambda n: "* " * n + "x",
    "indented": lambda n: "    x\n\n" * n,
    "fields": lambda n: "a: b\n" * n,
    "front matter": lambda n: "---\n" + "# x\n" * n,
    "explicit markup": lambda n: ".. a::\n\n" * n,
    "nested items": lambda n: "- a\n" + "  - b\n\n" * n,
    "letters": lambda n: "x" * n,
}


def calls_of(work: Callable[[], object]) -> int:
    """How many calls, of Python and of built-in functions, a piece of work takes: its cost without a clock."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_no_faster_than_the_text(name: str, form: Format) -> None:
    small, large = HOSTILE[name](500), HOSTILE[name](2000)
    few, many = calls_of(lambda: split(small, form)), calls_of(lambda: split(large, form))
    assert many <= 4.6 * few + 200


ONE_EXPRESSION = [
    "spaces", "angle brackets", "open tags", "quotes after a full stop", "full stops", "backticks", "rules", "letters",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ONE_EXPRESSION)
def test_no_expression_goes_back_over_a_hostile_line(name: str, form: Format) -> None:
    """Calls do not show what one expression does inside: here only a clock can, with a bound no slow machine meets.

    Linear work takes a fraction of a second; going back over each of 300,000 characters takes minutes.
    """
    content = HOSTILE[name](300_000)
    begun = time.process_time()
    chunks = split(content, form)
    assert time.process_time() - begun < 30
    assert "".join(texts(chunks)) == content

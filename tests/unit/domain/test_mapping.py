"""Rows become documents: keys, templates, filters, and values that capture could not send."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.conditions import Condition
from rtrag.domain.document import MISSING, DocumentDraft, DocumentKey
from rtrag.domain.mapping import RowValue, TableMapping, draft_of

MAPPING = TableMapping(
    table="public.articles",
    key_columns=("id",),
    title="heading",
    content="{summary}\n\n{body}",
    metadata=("extra", "team"),
    version="revision",
    row_filter=(Condition(field="published", operator="eq", value=True),),
)
ROW: dict[str, RowValue] = {
    "id": 7,
    "heading": "A heading",
    "summary": "In short.",
    "body": "At length.",
    "extra": {"language": "en"},
    "team": "red",
    "revision": 3,
    "published": True,
}


def draft(mapping: TableMapping = MAPPING, **changed: RowValue) -> DocumentDraft:
    found = draft_of(mapping, ROW | changed)
    assert found is not None
    return found


def test_a_row_becomes_a_document() -> None:
    assert draft() == DocumentDraft(
        key=DocumentKey("public.articles", ("7",)),
        title="A heading",
        content="In short.\n\nAt length.",
        metadata={"language": "en", "team": "red"},
        version=3,
    )
    assert draft().has_all


def test_every_needed_column_is_named_once() -> None:
    mapping = replace(MAPPING, metadata=("team", "heading"))
    assert mapping.columns == ("id", "heading", "summary", "body", "team", "revision", "published")


def test_one_column_as_content_is_no_template() -> None:
    mapping = replace(MAPPING, content="body")
    assert mapping.content_columns == ("body",)
    assert draft(mapping, body="with {braces} {summary}").content == "with {braces} {summary}"


def test_values_with_braces_are_not_filled_in_again() -> None:
    assert draft(summary="{body}").content == "{body}\n\nAt length."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1.5, "1.5"),
        ({"a": ["é"]}, '{"a": ["é"]}'),
        ([1], "[1]"),
    ],
)
def test_values_that_are_no_text_are_written_as_json_writes_them(value: RowValue, text: str) -> None:
    assert draft(replace(MAPPING, content="body"), body=value).content == text
    assert draft(heading=value).title == text


def test_nulls_are_left_out_of_the_metadata_and_mean_no_version() -> None:
    found = draft(team=None, extra=None, revision=None)
    assert (found.metadata, found.version) == ({}, None)


def test_a_column_that_the_row_lacks_is_named() -> None:
    row = {name: value for name, value in ROW.items() if name != "body"}
    with pytest.raises(KeyError, match="body"):
        draft_of(MAPPING, row)


@pytest.mark.parametrize("published", [False, None, "true", 1])
def test_a_row_outside_the_filter_is_no_document(published: RowValue) -> None:
    assert draft_of(MAPPING, ROW | {"published": published}) is None


def test_a_filter_column_that_was_not_sent_leaves_the_question_open() -> None:
    found = draft(published=MISSING)
    assert found.incomplete
    assert not found.has_all


def test_a_filter_is_decided_by_any_condition_that_fails_whatever_else_was_not_sent() -> None:
    second = Condition(field="team", operator="eq", value="blue")
    mapping = replace(MAPPING, row_filter=(*MAPPING.row_filter, second))
    assert draft_of(mapping, ROW | {"published": MISSING}) is None


@pytest.mark.parametrize(
    ("missing", "field", "incomplete"),
    [
        (("heading",), "title", False),
        (("summary", "body"), "content", False),
        (("body",), "content", True),
        (("extra", "team"), "metadata", False),
        (("team",), "metadata", True),
    ],
)
def test_what_was_not_sent_is_missing_and_a_part_of_a_value_cannot_be_filled_in(
    missing: tuple[str, ...], field: str, incomplete: bool
) -> None:
    found = draft_of(MAPPING, ROW | dict.fromkeys(missing, MISSING))
    assert found is not None
    assert getattr(found, field) is MISSING
    assert found.incomplete == incomplete
    assert not found.has_all


def test_a_null_is_not_missing() -> None:
    found = draft(heading=None, summary=None, body=None)
    assert (found.title, found.content, found.has_all) == ("", "\n\n", True)


keys = st.builds(DocumentKey, st.text(min_size=1), st.lists(st.text(), min_size=1, max_size=3).map(tuple))


@given(keys)
def test_a_key_reads_back_what_it_wrote(key: DocumentKey) -> None:
    assert DocumentKey.parse(str(key)) == key
    assert str(key).endswith("/" + key.id)


@given(keys, keys)
def test_different_keys_are_written_differently(left: DocumentKey, right: DocumentKey) -> None:
    assert (str(left) == str(right)) == (left == right)


def test_a_key_is_readable_and_its_parts_stay_apart() -> None:
    assert str(DocumentKey("public.documents", ("doc-1",))) == "public.documents/doc-1"
    assert DocumentKey("t", ("a/b", "c d?")).id == "a%2Fb/c d%3F"


@pytest.mark.parametrize("text", ["", "public.documents", "/doc-1"])
def test_what_is_no_key_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a document key.*public.documents/doc-1"):
        DocumentKey.parse(text)

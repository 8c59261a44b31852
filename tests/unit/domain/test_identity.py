"""What decides a chunk's point id and its fingerprint, and what does not."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.chunk import (
    Chunk,
    ChunkingIdentity,
    content_hash,
    embedding_input,
    identify,
    lexical_text,
    manifest_id,
    source_id,
    table_id,
)
from rtrag.domain.document import Document, DocumentKey

DOCUMENT = Document(key=DocumentKey("public.documents", ("1",)), title="Title", content="", filterable={"team": "a"})
IDENTITY = ChunkingIdentity(chunker_version="1", model_id="model", dimensions=8)
CHUNK = Chunk(text="Some text.\n", heading_path=("Top",))


def one(document: Document = DOCUMENT, chunk: Chunk = CHUNK, identity: ChunkingIdentity = IDENTITY) -> tuple[str, Any]:
    (found,) = identify(document, [chunk], identity)
    return found.id, found.fingerprint


@given(st.lists(st.sampled_from(["same", "other", " ", ""]), max_size=12))
def test_every_chunk_of_a_document_has_an_id_of_its_own(texts: list[str]) -> None:
    identified = identify(DOCUMENT, [Chunk(text=text) for text in texts], IDENTITY)
    assert len({chunk.id for chunk in identified}) == len(texts)
    assert [chunk.chunk.text for chunk in identified] == texts


def test_equal_chunks_share_a_fingerprint_and_keep_their_ids_when_others_come_between() -> None:
    first, second = identify(DOCUMENT, [CHUNK, CHUNK], IDENTITY)
    assert first.fingerprint == second.fingerprint
    between = identify(DOCUMENT, [CHUNK, Chunk(text="new"), CHUNK], IDENTITY)
    assert [between[0].id, between[2].id] == [first.id, second.id]


def test_the_same_input_has_the_same_identities() -> None:
    """Held as literal values: an id that changes between releases would index everything again."""
    assert one() == one()
    assert one()[0] == "cec7bbfd-cad8-5472-8b0e-46720ee285f0"


@pytest.mark.parametrize(
    ("document", "chunk", "identity", "same_fingerprint"),
    [
        (replace(DOCUMENT, filterable={"team": "b"}), CHUNK, IDENTITY, True),
        (replace(DOCUMENT, key=DocumentKey("public.documents", ("2",))), CHUNK, IDENTITY, True),
        (DOCUMENT, replace(CHUNK, heading_path=("Other",)), IDENTITY, True),
        (DOCUMENT, replace(CHUNK, text="Some text.\n\n"), IDENTITY, True),
        (replace(DOCUMENT, title="Renamed"), CHUNK, IDENTITY, False),
        (DOCUMENT, replace(CHUNK, text="Some other text.\n"), IDENTITY, False),
        (DOCUMENT, CHUNK, replace(IDENTITY, chunker_version="2"), False),
        (DOCUMENT, CHUNK, replace(IDENTITY, model_id="another"), False),
        (DOCUMENT, replace(CHUNK, kind="front_matter"), IDENTITY, False),
    ],
    ids=["filterable", "key", "headings", "white space", "title", "text", "version", "model", "kind"],
)
def test_the_id_changes_with_everything_stored_and_the_fingerprint_with_the_vector_alone(
    document: Document, chunk: Chunk, identity: ChunkingIdentity, same_fingerprint: bool
) -> None:
    point, fingerprint = one()
    other_point, other_fingerprint = one(document, chunk, identity)
    assert other_point != point
    assert (other_fingerprint == fingerprint) == same_fingerprint


@pytest.mark.parametrize(
    "document",
    [
        replace(DOCUMENT, metadata={"seen": 3}),
        replace(DOCUMENT, version=7),
        replace(DOCUMENT, format="markdown"),
        replace(DOCUMENT, content="elsewhere it reads differently"),
    ],
)
def test_what_the_manifest_holds_leaves_the_chunks_alone(document: Document) -> None:
    assert one(document) == one()


def test_the_order_of_filterable_fields_means_nothing() -> None:
    left = replace(DOCUMENT, filterable={"a": 1, "b": [1, 2]})
    right = replace(DOCUMENT, filterable={"b": [1, 2], "a": 1})
    assert one(left) == one(right)


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_no_two_different_chunks_are_confused(title: str, text: str, other_title: str, other_text: str) -> None:
    left = one(replace(DOCUMENT, title=title), replace(CHUNK, text=text))
    right = one(replace(DOCUMENT, title=other_title), replace(CHUNK, text=other_text))
    assert (left[0] == right[0]) == ((title, text) == (other_title, other_text))


def test_a_separator_in_the_text_does_not_make_two_chunks_one() -> None:
    left = one(replace(DOCUMENT, title="a\x1f[]"), replace(CHUNK, heading_path=(), text="b"))
    right = one(replace(DOCUMENT, title="a"), replace(CHUNK, heading_path=(), text="[]\x1fb"))
    assert left[0] != right[0]


@pytest.mark.parametrize("text", ["\ud800", "\x00", "é", "e\u0301"])
def test_any_text_has_identities(text: str) -> None:
    assert one(chunk=Chunk(text=text), document=replace(DOCUMENT, title=text, filterable={text: text}))[1]
    assert len(content_hash(text)) == 64


@pytest.mark.parametrize(
    ("title", "chunk", "expected"),
    [
        ("T", Chunk(text=" text \n"), "T\ntext"),
        ("", Chunk(text="text\n", heading_path=("H",)), "text"),
        ("T", Chunk(text=" \n\t"), None),
        ("T", Chunk(text="a: b", kind="front_matter"), None),
    ],
)
def test_the_title_and_the_bare_text_are_embedded(title: str, chunk: Chunk, expected: str | None) -> None:
    assert embedding_input(title, chunk) == expected


def test_title_and_headings_are_searched_by_words() -> None:
    assert lexical_text("T", ("A", "B"), "text") == "T\nA\nB\ntext"


def test_records_of_different_kinds_never_share_an_id() -> None:
    key = DocumentKey("t", ("1",))
    assert len({manifest_id(key), table_id(str(key)), source_id(str(key))}) == 3

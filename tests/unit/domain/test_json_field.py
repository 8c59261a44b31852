"""Reading a string field of JSON that is still arriving."""

import json

from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.json_field import StringField

TEXTS = st.text(alphabet=st.sampled_from('ab"\\\n/\té😀{}:,u'), max_size=30)


@given(TEXTS, st.booleans(), st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_the_pieces_join_to_the_text_however_the_json_is_cut(text: str, ascii_only: bool, sizes: list[int]) -> None:
    whole = json.dumps({"quote": '"answer": "no', "answer": text, "sufficient": True}, ensure_ascii=ascii_only)
    field = StringField("answer")
    pieces, start, turn = [], 0, 0
    while start < len(whole):
        size = sizes[turn % len(sizes)]
        pieces.append(field.feed(whole[start : start + size]))
        start, turn = start + size, turn + 1
    assert "".join(pieces) == text


def test_text_is_given_out_as_soon_as_it_has_arrived() -> None:
    field = StringField("answer")
    assert [field.feed(piece) for piece in ('{"answer": "Yes', ", it", ' is.", "x": "no"', "}")] == [
        "Yes",
        ", it",
        " is.",
        "",
    ]


def test_half_an_escape_waits_for_its_other_half() -> None:
    field = StringField("answer")
    assert [field.feed(piece) for piece in ('{"answer":"a\\', "n\\ud83d\\ude", '00b"')] == ["a", "\n", "😀b"]


def test_broken_escapes_become_replacement_characters() -> None:
    assert StringField("answer").feed('{"answer":"\\ud83dx\\udc00\\uzzzz"') == "\ufffdx\ufffd\ufffd"

"""What the reader draws its questions from."""

from random import Random

from benchmarks.asking import Sentences, normalized_lines, shown_in
from benchmarks.history import Shown
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcde"))))
def test_a_sentence_is_drawn_only_while_it_is_in_the_set(steps: list[tuple[bool, str]]) -> None:
    sentences, model = Sentences(), set[str]()
    for present, text in steps:
        (sentences.add if present else sentences.remove)(text)
        (model.add if present else model.discard)(text)
        drawn = [sentences.draw(Random(seed)) for seed in range(40)]
        assert all(text in model if model else text is None for text in drawn)


def test_only_lines_of_some_length_are_asked_for() -> None:
    assert normalized_lines("short\n" + "long  line " * 5) == [" ".join(["long line"] * 5)]


def test_sources_and_citations_are_shown_by_primary_key() -> None:
    document = {"document": "public.documents/a%2Fb.md", "version": 2}
    answer = {
        "sources": [document | {"text": "whole", "ordinal": 3}],
        "citations": [document | {"quote": "who"}],
    }
    assert shown_in(answer) == (
        Shown(id="a/b.md", version=2, text="whole", ordinal=3),
        Shown(id="a/b.md", version=2, text="who"),
    )

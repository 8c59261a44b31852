"""Choosing the sentences that answer a question."""

from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.extraction import MAX_SENTENCES, choose, shortlist
from rtrag.domain.prompt import ContextPassage
from rtrag.domain.quotable import quotables

HEADER = """\
PEP: 2
Title: Procedure for Adding New Modules
Author: Brett Cannon <brett@python.org>,
        Martijn Faassen <faassen@infrae.com>
Status: Active
Type: Process
Python-Version: 3.13
"""


def passage(number: int, text: str, title: str = "", headings: tuple[str, ...] = ()) -> ContextPassage:
    return ContextPassage(number=number, title=title, heading_path=headings, text=text, chunk_ids=(str(number),))


def best(question: str, *passages: ContextPassage) -> list[tuple[int, str]]:
    return [(item.number, item.text) for item in choose(shortlist(question, passages), None)]


@given(st.text(alphabet=st.sampled_from("ab. \n-|:=#?A1,"), max_size=80) | st.text(max_size=60))
def test_every_unit_is_a_slice_of_the_passage_without_white_space_around_it(text: str) -> None:
    units = [unit.text for unit in quotables(text)]
    place = 0
    for unit in units:
        assert unit
        assert unit == unit.strip()
        place = text.index(unit, place) + len(unit)


def test_prose_is_cut_at_sentences_and_not_at_abbreviations() -> None:
    text = (
        "Dr. Smith of the U.S. Army (e.g. him) ran 3.5 km.\nHe left in\n1999! “Really?” they said. "
        "Dr. Li agreed. 終わり。はい。"
    )
    assert [unit.text for unit in quotables(text)] == [
        "Dr. Smith of the U.S. Army (e.g. him) ran 3.5 km.",
        "He left in\n1999!",
        "“Really?” they said.",
        "Dr. Li agreed.",
        "終わり。",
        "はい。",
    ]


def test_items_rows_and_headings_stand_alone_and_rules_are_nothing() -> None:
    text = "Prices\n======\n\n- tea\n- cake\n  with cream\n\n| a | b |\n|---|---|\n| 1 | 2 |\n## Next\nText."
    assert [unit.text for unit in quotables(text)] == [
        "Prices",
        "- tea",
        "- cake\n  with cream",
        "| a | b |",
        "| 1 | 2 |",
        "## Next",
        "Text.",
    ]


def test_header_fields_are_units_with_their_continuation() -> None:
    fields = {unit.field: unit.text for unit in quotables(HEADER)}
    assert fields["Status"] == "Status: Active"
    assert fields["Author"].endswith("<faassen@infrae.com>")
    assert [unit.field for unit in quotables("Note: this is\nprose over two lines.")] == [None]


def test_an_overlong_sentence_is_cut_between_words() -> None:
    units = [unit.text for unit in quotables("word " * 500)]
    assert len(units) > 1
    assert all(len(unit) <= 600 and unit.endswith("word") for unit in units)


def test_a_header_field_that_is_asked_for_is_the_answer() -> None:
    title = "PEP 2: Procedure for Adding New Modules"
    body = passage(1, "The status of a module is decided by its status. Active maintainers adopt PEP modules.", title)
    header = passage(2, HEADER, title)
    asked = {
        "What is the current status of PEP 2 (Procedure for Adding New Modules)?": "Status: Active",
        "What type of PEP is PEP 2?": "Type: Process",
        "Which Python version does PEP 2 target?": "Python-Version: 3.13",
    }
    assert {question: best(question, body, header)[0] for question in asked} == {
        question: (2, answer) for question, answer in asked.items()
    }


def test_the_document_that_is_named_is_preferred() -> None:
    other, named = (
        passage(1, "Status: Draft\nType: Process", "PEP 8"),
        passage(2, "Status: Final\nType: Process", "PEP 9"),
    )
    assert best("What is the status of PEP 9?", other, named)[0] == (2, "Status: Final")


def test_a_date_answers_when() -> None:
    text = passage(1, "The tower was opened by the king. The tower was opened in 1889.")
    assert best("When was the tower opened?", text)[0] == (1, "The tower was opened in 1889.")


def test_nothing_is_chosen_when_nothing_fits() -> None:
    assert best("Who invented the telephone?", passage(1, "Tea costs 2 euros. Cake is free.")) == []
    assert best("?", passage(1, "Tea costs 2 euros.")) == []
    assert best("What does tea cost?") == []


def test_similarity_decides_between_equals_and_may_suffice_alone() -> None:
    found = shortlist("What does tea cost?", [passage(1, "Tea is sold. Tea is drunk.")])
    assert choose(found, [0.2, 0.9])[0] == found[1]
    foreign = shortlist("Was kostet Tee?", [passage(1, "Tea costs 2 euros.")])
    assert choose(foreign, [0.8]) == foreign
    assert choose(foreign, [0.3]) == ()


@given(st.lists(st.sampled_from(["Tea is hot.", "Tea costs 2 euros.", "Tea.", "Cake."]), min_size=1, max_size=12))
def test_at_most_a_few_sentences_are_chosen_and_none_twice(sentences: list[str]) -> None:
    chosen = best("What does tea cost?", passage(1, " ".join(sentences)), passage(2, " ".join(sentences)))
    assert len(chosen) <= MAX_SENTENCES
    assert len({text for _, text in chosen}) == len(chosen)

"""Made-up documents have the length and the marker that the figures rest on."""

from benchmarks.words import WORDS_PER_TEXT, Vocabulary


def test_a_text_has_80_words_and_its_marker_as_it_is() -> None:
    words = Vocabulary(seed=3)
    for _ in range(200):
        marker = words.marker()
        text = words.text(marker)
        assert len(text.split()) == WORDS_PER_TEXT
        assert marker in text


def test_markers_of_different_vocabularies_differ() -> None:
    one, other = Vocabulary(seed=1), Vocabulary(seed=2)
    assert len({vocabulary.marker() for vocabulary in (one, other) for _ in range(50)}) == 100

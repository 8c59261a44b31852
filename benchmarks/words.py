"""Made-up documents: words drawn as often as in real text, and markers that stand in one document alone."""

from itertools import accumulate
from random import Random

VOCABULARY = 20_000
WORDS_PER_TEXT = 80
SENTENCE = 12
_ONSETS = ("b", "br", "c", "cl", "d", "dr", "f", "g", "gr", "h", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr")
_VOWELS = ("a", "e", "i", "o", "u", "ea", "ou")


class Vocabulary:
    """Words by Zipf's law; the words are always the same, what is drawn depends on the seed."""

    def __init__(self, *, seed: int) -> None:
        fixed = Random(7)
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            words["".join(_syllable(fixed) for _ in range(fixed.choice((2, 2, 3))))] = None
        self._words = list(words)
        self._weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
        self._random = Random(seed)
        self._markers = 0
        self._seed = seed

    def draw(self, count: int) -> list[str]:
        """Words, the common ones often."""
        return self._random.choices(self._words, cum_weights=self._weights, k=count)

    def marker(self) -> str:
        """A word that was never given before, by any vocabulary of another seed either."""
        self._markers += 1
        return f"zq{self._seed}x{self._markers}"

    def text(self, marker: str) -> str:
        """Sentences of 80 words in all, the marker among them."""
        words = self.draw(WORDS_PER_TEXT)
        # Not where a sentence begins, which has a capital letter.
        words[self._random.choice([place for place in range(WORDS_PER_TEXT) if place % SENTENCE])] = marker
        sentences = [words[place : place + SENTENCE] for place in range(0, WORDS_PER_TEXT, SENTENCE)]
        return " ".join(f"{' '.join(sentence).capitalize()}." for sentence in sentences)


def _syllable(random: Random) -> str:
    return random.choice(_ONSETS) + random.choice(_VOWELS)

"""The static embedding model that comes in wordllama's wheel, read without importing that package.

Importing wordllama configures the root logger and loads an HTTP client, and its ``embed`` pads every text to the
longest of its batch. Its tokenizer and its matrix are all that a static model is: a vector is the mean of the rows
of a text's tokens, made unit length. The tests hold it to wordllama's own results.
"""

import asyncio
import re
from array import array
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Encoding, Tokenizer
from tokenizers.normalizers import Replace

from rtrag.domain.chunk import Vector
from rtrag.domain.errors import ConfigurationError
from rtrag.ports.embedding import InputType

MODEL = "l2_supercat"
DIMENSIONS = 256

_INLINE_CHARACTERS = 12_000  # about half a millisecond; above it the event loop goes on while a thread works
_BLOCK_TOKENS = 4096  # rows gathered at a time: 4 MiB
_FEW_WORDS = 40  # for which the tokenizer's threads cost more than they bring, up to 30 ms where both cores are busy
_REMEMBERED_WORDS = 40_000  # of each half
_REMEMBERED_LENGTH = 40
_WORD = re.compile(" +[^ ]*+")
_SPACE = "▁"  # how the vocabulary writes it
_SPECIAL = re.compile("(<unk>|<s>|</s>)")

_Matrix = npt.NDArray[np.float32]


class StaticEmbedder:
    """Means of token vectors, 256 dimensions, unit length; documents and queries alike.

    A text without tokens (only the empty one) gets a fixed unit vector. Lone surrogates count as ``?``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Load the model from wordllama's folder, by default the installed one.

        Takes about 0.2 s and 32 MiB. Raises ConfigurationError if the files are not there.
        """
        root = _installed_folder() if folder is None else folder
        tokenizer, matrix = _load(root)
        self._matrix = matrix
        self._words = _WordTokens(tokenizer)
        self._empty: Vector = array("f", [DIMENSIONS**-0.5] * DIMENSIONS)

    @property
    def model_id(self) -> str:
        return f"wordllama-{MODEL}-{DIMENSIONS}/1"  # the number rises with any change of what is computed here

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    async def embed(self, texts: Sequence[str], *, input_type: InputType) -> Sequence[Vector]:
        """Embed in this thread what takes less than a millisecond, anything larger in another."""
        del input_type  # a static model has one space for both
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return self.embed_now(texts)
        return await asyncio.to_thread(self.embed_now, texts)

    def embed_now(self, texts: Sequence[str]) -> list[Vector]:
        """Embed in the calling thread; any number of threads may do so at once."""
        return [self._pool(ids) for ids in self._words.of_texts(texts)]

    def _pool(self, ids: npt.NDArray[np.uint16]) -> Vector:
        total = self._matrix.take(ids[:_BLOCK_TOKENS], axis=0).sum(axis=0)
        for start in range(_BLOCK_TOKENS, len(ids), _BLOCK_TOKENS):
            total += self._matrix.take(ids[start : start + _BLOCK_TOKENS], axis=0).sum(axis=0)
        length = float(np.sqrt(total.dot(total)))
        if length == 0.0:
            return self._empty
        total /= length
        vector = array("f")
        vector.frombytes(total.tobytes())
        return vector


class _WordTokens:
    """Token ids of texts, put together from those of their words.

    No token of the vocabulary runs from one word into the next, so a text's tokens are those of its words, each with
    the spaces before it; the ids of words seen lately are remembered (as bytes of 16-bit numbers). That is several
    times as fast as tokenizing the texts whole, and gives the same ids.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Two halves: when the newer one is full it becomes the older one, whose words return when they are met again.
        # Each only ever grows, so that several threads may use them.
        self._known: dict[str, bytes] = {}
        self._older: dict[str, bytes] = {}

    def of_texts(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint16]]:
        texts_words = [_words(text) for text in texts]
        distinct = set().union(*texts_words)
        known = self._known
        missing = distinct.difference(known)
        if missing:
            learned = self._learn(missing)
            if not learned.keys() <= known.keys():  # some were too long to remember, or there was no room
                known = {word: learned.get(word) or known[word] for word in distinct}
        return [np.frombuffer(b"".join(map(known.__getitem__, words)), np.uint16) for words in texts_words]

    def _learn(self, words: set[str]) -> Mapping[str, bytes]:
        """The ids of words, from the older half or from the tokenizer; remembers them in the newer one."""
        older = self._older
        learned = {word: older[word] for word in words if word in older}
        new = [word for word in words if word not in learned]
        for word, encoding in zip(new, self._encoded(new), strict=True):
            learned[word] = np.asarray(encoding.ids, np.uint16).tobytes()
        if len(self._known) + len(learned) > _REMEMBERED_WORDS:
            self._known, self._older = {}, self._known
        self._known.update((word, ids) for word, ids in learned.items() if len(word) <= _REMEMBERED_LENGTH)
        return learned

    def _encoded(self, words: Sequence[str]) -> Sequence[Encoding]:
        inputs = [word.encode("utf-8", "replace").decode() for word in words]
        if len(inputs) <= _FEW_WORDS:
            return [self._tokenizer.encode(word, add_special_tokens=False) for word in inputs]
        return self._tokenizer.encode_batch_fast(inputs, add_special_tokens=False)


def _words(text: str) -> list[str]:
    """A text's words, each with the spaces before it, the first with one more, as the model's tokenizer has it."""
    text = text.replace(_SPACE, " ")
    if "<" not in text or _SPECIAL.search(text) is None:
        return _WORD.findall(f" {text}") if text else []
    words = []
    for part in _SPECIAL.split(text):
        if _SPECIAL.fullmatch(part):
            words.append(part)
        elif part:
            words.extend(_WORD.findall(f" {part}"))
    return words


def _load(folder: Path) -> tuple[Tokenizer, _Matrix]:
    weights = folder / "weights" / f"{MODEL}_{DIMENSIONS}.safetensors"
    vocabulary = folder / "tokenizers" / f"{MODEL}_tokenizer_config.json"
    fix = "install the package wordllama again (pip install --force-reinstall wordllama), or choose another embedder"
    for path in (weights, vocabulary):
        if not path.is_file():
            raise ConfigurationError(f"The static embedding model lacks its file {path}.", fix=fix)
    try:
        matrix = load_file(weights)["embedding.weight"].astype(np.float32)
    except (SafetensorError, KeyError) as exc:
        raise ConfigurationError(f"The static embedding model cannot be read from {weights}: {exc}.", fix=fix) from exc
    tokenizer = Tokenizer.from_file(str(vocabulary))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # As it comes, it also puts a space before the text; _words does that, for whole texts and not for each word.
    tokenizer.normalizer = Replace(" ", _SPACE)
    return tokenizer, matrix


def _installed_folder() -> Path:
    spec = find_spec("wordllama")
    if spec is None or spec.submodule_search_locations is None:
        raise ConfigurationError(
            "The package wordllama, which holds the static embedding model, is not installed.",
            fix="pip install wordllama, or choose another embedder",
        )
    return Path(next(iter(spec.submodule_search_locations)))

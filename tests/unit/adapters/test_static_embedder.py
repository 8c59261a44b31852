"""The static embedder against the package whose model it reads."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrag.adapters.static_embedder import DIMENSIONS, StaticEmbedder
from rtrag.domain.errors import ConfigurationError


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def reference() -> object:
    handlers, level = list(logging.root.handlers), logging.root.level
    import wordllama  # noqa: PLC0415 - it sets up the root logger when it is imported

    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


TEXTS = [
    "a",
    " ",
    "   leading and trailing   ",
    "two  spaces, a\ttab and\r\nlines\n\n\nthree",
    "Ünïcödé 日本語のテキスト 😀 \u200b",
    "the literal mark ▁ and ▁▁ two ▁ more",
    "html <s>struck</s> and <unk> <s> and <sup>2</sup>",
    "<s>",
    "<s> ",
    "null \x00 byte",
    "x" * 5000,
    "word " * 6000,
]


def test_vectors_are_wordllamas_own(embedder: StaticEmbedder, reference: object) -> None:
    assert_same(embedder, reference, TEXTS)


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.lists(
            st.sampled_from([" ", "  ", "a", "Tea", "<s>", "</s>", "<unk>", "▁", "\n", "é", "💡", "1.5", "<"]),
            min_size=1,
        ).map("".join),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_has_wordllamas_own_vector(embedder: StaticEmbedder, reference: object, texts: list[str]) -> None:
    assert_same(embedder, reference, texts)


def assert_same(embedder: StaticEmbedder, reference: object, texts: list[str]) -> None:
    own = np.array(embedder.embed_now(texts))
    for text, vector in zip(texts, own, strict=True):
        expected = reference.embed([text], norm=True)[0]  # type: ignore[attr-defined]  # wordllama has no types
        np.testing.assert_allclose(vector, expected, atol=1e-5, err_msg=repr(text[:80]))


def test_the_empty_text_has_a_finite_unit_vector(embedder: StaticEmbedder) -> None:
    (vector,) = embedder.embed_now([""])
    assert np.linalg.norm(np.array(vector)) == pytest.approx(1.0)


def test_lone_surrogates_count_as_question_marks(embedder: StaticEmbedder) -> None:
    assert embedder.embed_now(["bad \ud800 end"]) == embedder.embed_now(["bad ? end"])


async def test_a_large_batch_leaves_the_event_loop_free(embedder: StaticEmbedder) -> None:
    texts = [" ".join(f"w{number}x{word}" for word in range(80)) for number in range(600)]
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    vectors = await embedder.embed(texts, input_type="document")
    ticking.cancel()
    assert ticks > 10
    assert list(vectors[:5]) == embedder.embed_now(texts[:5])


def test_many_words_do_not_change_what_is_computed(embedder: StaticEmbedder) -> None:
    before = embedder.embed_now(["some words to remember"])
    embedder.embed_now([" ".join(f"number{number}" for number in range(70_000))])
    assert embedder.embed_now(["some words to remember"]) == before


def test_model_and_dimensions_are_named(embedder: StaticEmbedder) -> None:
    assert embedder.model_id.startswith("wordllama-l2_supercat-256")
    assert embedder.dimensions == DIMENSIONS == len(embedder.embed_now(["x"])[0])


def test_loading_neither_imports_wordllama_nor_sets_up_logging() -> None:
    code = (
        "import logging, sys; from rtrag.adapters.static_embedder import StaticEmbedder; StaticEmbedder(); "
        "sys.exit(bool(logging.root.handlers) or 'wordllama' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_model_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lacks its file"):
        StaticEmbedder(tmp_path)


def test_a_broken_model_is_a_configuration_error(tmp_path: Path) -> None:
    for name in ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        StaticEmbedder(tmp_path)

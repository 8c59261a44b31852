"""What a generator gets and gives: numbered passages, an answer with citations."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

PROMPT_VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPassage:
    """A passage as the generator sees it. ``number`` counts from 1 and is what citations name.

    ``text`` may join neighbouring chunks; ``chunk_ids`` are all that it rests on.
    """

    number: int
    title: str
    heading_path: tuple[str, ...]
    text: str
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedSpan:
    """A quotation from a passage that supports the answer. ``quote`` is empty where the model gave none."""

    number: int
    quote: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDraft:
    """A generated answer, before citations are resolved to documents.

    ``sufficient`` is the generator's word on whether the passages answer the question.
    """

    text: str
    citations: tuple[CitedSpan, ...]
    sufficient: bool


def evidence_key(question: str, passages: Sequence[ContextPassage], model_id: str) -> str:
    """The key of a memoised answer: it changes when, and only when, the evidence or the generator does."""
    evidence = [question, [list(passage.chunk_ids) for passage in passages], model_id, PROMPT_VERSION]
    return hashlib.sha256(json.dumps(evidence).encode()).hexdigest()

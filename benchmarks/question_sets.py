"""Question sets on disk: what to index, what to ask, and which documents answer.

A set NAME is ``NAME.docs`` and ``NAME.questions`` (JSON Lines, plain or compressed with zstd). With a file
``NAME.qrels.tsv`` (BEIR's form) its documents are the units that are found; without one each paragraph is, and a
question's relevant unit is the paragraph that its ``para`` names. Questions without a relevant unit are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.streams import read_jsonl

_PARAGRAPH_BREAK = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A document to index and to find."""

    id: str
    title: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, the ids of the units that answer it, and the answers where the set has them."""

    text: str
    relevant: frozenset[str]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """``answers_are_spans`` says that each answer stands in its unit word for word."""

    units: tuple[Unit, ...]
    questions: tuple[Asked, ...]
    answers_are_spans: bool


def load(folder: Path, name: str) -> QuestionSet:
    """Read a set. FileNotFoundError if it is not there."""
    judged = folder / f"{name}.qrels.tsv"
    if judged.exists():
        units = tuple(
            Unit(id=line["id"], title=line["title"] or "", content=line["content"])
            for line in read_jsonl(folder, f"{name}.docs")
        )
        return QuestionSet(units=units, questions=tuple(_judged(folder, name, judged)), answers_are_spans=False)
    units = tuple(_paragraphs(folder, name))
    return QuestionSet(units=units, questions=tuple(_by_paragraph(folder, name)), answers_are_spans=True)


def _judged(folder: Path, name: str, judged: Path) -> Iterator[Asked]:
    relevant = _relevant(judged)
    for line in read_jsonl(folder, f"{name}.questions"):
        if line["qid"] in relevant:
            yield Asked(text=line["question"], relevant=relevant[line["qid"]], answers=())


def _relevant(judged: Path) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in judged.read_text(encoding="utf-8").splitlines()[1:]:
        question, document, score = line.split("\t")
        if int(score) > 0:
            found.setdefault(question, set()).add(document)
    return {question: frozenset(documents) for question, documents in found.items()}


def _paragraphs(folder: Path, name: str) -> Iterator[Unit]:
    for line in read_jsonl(folder, f"{name}.docs"):
        start = 0
        for paragraph in line["content"].split(_PARAGRAPH_BREAK):
            yield Unit(id=f"{line['id']}#{start}", title=line["title"] or "", content=paragraph)
            start += len(paragraph) + len(_PARAGRAPH_BREAK)


def _by_paragraph(folder: Path, name: str) -> Iterator[Asked]:
    for line in read_jsonl(folder, f"{name}.questions"):
        if line["answerable"]:
            unit = f"{line['docs'][0]}#{line['para'][0]}"
            yield Asked(text=line["question"], relevant=frozenset({unit}), answers=tuple(line["answers"]))

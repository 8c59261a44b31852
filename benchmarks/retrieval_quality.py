"""How good retrieval is on a question set, by the product's own path and its default settings.

    python -m benchmarks.retrieval_quality --data DIR --set qa-squad|ret-scifact [--json]

Chunking, embedding, the Edge index, search and fusion are the product's; only capture is left out. A unit's rank
is that of its best chunk. Beside the default: each of the two searches alone. Where answers are spans of the text: how
often a sentence that the extractive answer cites contains one.
"""

import argparse
import asyncio
import math
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.question_sets import Asked, QuestionSet, Unit, load
from benchmarks.report import emit, progress

from rtrag.adapters.extractive_generator import ExtractiveGenerator
from rtrag.adapters.qdrant.edge import EdgeIndex, EdgeSettings, open_edge_index
from rtrag.adapters.qdrant.lexical import LexicalSettings
from rtrag.adapters.static_embedder import StaticEmbedder
from rtrag.application.search import Search, SearchSettings
from rtrag.config import Settings
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.chunking import CHUNKER_VERSION, detect_format, header_fields, split
from rtrag.domain.composition import Chunker, Composer
from rtrag.domain.context import build_context
from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.domain.manifest import SwitchManifest, UpsertChunks
from rtrag.domain.mapping import TableMapping
from rtrag.domain.plan import plan_upsert
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Passage, SearchRequest

TABLE = "public.documents"
CUT = 10
PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The product's defaults, unless another setting is to be tried."""

    depth: int
    dense_weight: float
    lexical: LexicalSettings
    context_passages: int
    neighbours: int


class Measured:
    """Ranking quality, question by question."""

    def __init__(self) -> None:
        self._gains: list[float] = []
        self._recalls: list[float] = []

    def add(self, ranked: Sequence[str], relevant: frozenset[str]) -> None:
        """Count a ranking of unit ids; only the first ten matter, each relevant unit gains 1."""
        top = ranked[:CUT]
        gain = sum(1 / math.log2(place + 2) for place, unit in enumerate(top) if unit in relevant)
        ideal = sum(1 / math.log2(place + 2) for place in range(min(CUT, len(relevant))))
        self._gains.append(gain / ideal)
        self._recalls.append(len(relevant.intersection(top)) / len(relevant))

    def result(self) -> dict[str, float]:
        return {"ndcg10": round(fmean(self._gains), 4), "recall10": round(fmean(self._recalls), 4)}


async def fill(index: EdgeIndex, embedder: StaticEmbedder, units: Sequence[Unit]) -> int:
    """Index the units; the number of chunks."""
    identity = ChunkingIdentity(
        chunker_version=CHUNKER_VERSION, model_id=embedder.model_id, dimensions=embedder.dimensions
    )
    composer = Composer(
        mappings={TABLE: TableMapping(table=TABLE, title="title")},
        chunker=Chunker(split=split, header_fields=header_fields, detect_format=detect_format, identity=identity),
        max_bytes=Settings().indexing.max_document_bytes,
    )
    chunks = 0
    for start in range(0, len(units), PAGE):
        plans = [
            plan_upsert(composer.compose(_draft(unit)), Position.copied(1), None, None, None)
            for unit in units[start : start + PAGE]
        ]
        inputs = {fingerprint: text for plan in plans for fingerprint, text in plan.fingerprints().items()}
        vectors = dict(zip(inputs, await embedder.embed(list(inputs.values()), input_type="document"), strict=True))
        points = [point for plan in plans for point in plan.points(vectors)]
        switches = [SwitchManifest(manifest=plan.manifest, replaces=None) for plan in plans]
        await index.write([UpsertChunks(points=tuple(points)), *switches])
        chunks += len(points)
    return chunks


def _draft(unit: Unit) -> DocumentDraft:
    return DocumentDraft(key=DocumentKey(TABLE, (unit.id,)), title=unit.title, content=unit.content, metadata={})


def ranking(passages: Iterable[Passage]) -> list[str]:
    """Unit ids in the order of their best chunks."""
    return list(dict.fromkeys(passage.chunk.key.values[0] for passage in passages))


async def measure(folder: Path, questions: QuestionSet, options: Options, *, shown: bool) -> dict[str, Any]:
    """Index the units, ask every question in every way."""
    embedder = StaticEmbedder()
    generator = ExtractiveGenerator(embedder)
    weights = {"default": options.dense_weight, "dense": 1.0, "bm25": 0.0}
    measured = {name: Measured() for name in weights}
    cited: list[bool] = []
    async with open_edge_index(folder / "index", embedder.dimensions, EdgeSettings(lexical=options.lexical)) as index:
        chunks = await fill(index, embedder, questions.units)
        searches = {
            name: Search(index, SearchSettings(depth=options.depth, dense_weight=weight))
            for name, weight in weights.items()
        }
        with progress("questions", len(questions.questions), shown=shown) as advance:
            for asked in questions.questions:
                (vector,) = await embedder.embed([asked.text], input_type="query")
                request = SearchRequest(vector=vector, text=asked.text, limit=0)
                found = {"default": await everything(searches["default"], request)}
                found["dense"] = await everything(searches["dense"], request)
                found["bm25"] = await everything(searches["bm25"], replace(request, vector=None))
                for name, passages in found.items():
                    measured[name].add(ranking(passages), asked.relevant)
                if questions.answers_are_spans:
                    cited.append(await answered(searches["default"], generator, asked, found["default"], options))
                advance(1)
    result: dict[str, Any] = {**measured["default"].result(), "dense": measured["dense"].result()}
    result["bm25"] = measured["bm25"].result()
    if cited:
        result["extractive_answer_rate"] = round(fmean(cited), 4)
    counts = {"documents": len(questions.units), "chunks": chunks, "questions": len(questions.questions)}
    return {**result, **counts}


async def everything(search: Search, request: SearchRequest) -> Sequence[Passage]:
    """All that a search finds: ten units may take many chunks."""
    return (await search.passages(request, sys.maxsize)).passages


async def answered(
    search: Search, generator: ExtractiveGenerator, asked: Asked, passages: Sequence[Passage], options: Options
) -> bool:
    """Whether a sentence cited by the extractive answer contains one of the right answers."""
    best = passages[: options.context_passages]
    context = build_context(best, await search.around(best, options.neighbours), options.neighbours)
    draft = await generator.generate(asked.text, [item.passage for item in context])
    quotes = [_plain(citation.quote) for citation in draft.citations]
    return any(_plain(answer) in quote for answer in asked.answers for quote in quotes)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def main() -> int:
    query, lexical = Settings().query, LexicalSettings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the question set")
    parser.add_argument("--set", required=True, help="name of the question set, such as qa-squad")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--dense-weight", type=float, default=query.dense_weight, help="default: the product's")
    parser.add_argument("--depth", type=int, default=query.candidates, help="default: the product's")
    parser.add_argument("--average-length", type=float, default=lexical.average_length, help="default: the product's")
    arguments = parser.parse_args()
    try:
        questions = load(arguments.data, arguments.set)
    except FileNotFoundError as error:
        parser.error(str(error))
    options = Options(
        depth=arguments.depth,
        dense_weight=arguments.dense_weight,
        lexical=replace(lexical, average_length=arguments.average_length),
        context_passages=query.context_passages,
        neighbours=query.neighbours,
    )
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(Path(folder), questions, options, shown=not arguments.json))
    emit(f"Retrieval quality on {arguments.set}", result, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

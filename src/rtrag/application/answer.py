"""Questions to answers: pass the gate, search, build the context, generate or remember, resolve citations."""

import json
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.questions import Answer, Citation, Question, Retrieval, Source
from rtrag.application.search import Found, Search
from rtrag.application.services import Collection
from rtrag.application.totals import Totals
from rtrag.domain.chunk import Vector
from rtrag.domain.context import ContextItem, build_context
from rtrag.domain.errors import InvalidRequestError, NotFoundError
from rtrag.domain.freshness import AsOf
from rtrag.domain.prompt import AnswerDraft, CitedSpan, evidence_key
from rtrag.domain.retrieval import Passage, SearchRequest
from rtrag.ports.cache import Cache
from rtrag.ports.embedding import Embedder
from rtrag.ports.generation import Generator, TextDelta

MAX_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSettings:
    """How much context a generator gets, and how long a query waits for freshness (milliseconds)."""

    context_passages: int = 6
    neighbours: int = 1
    wait_ms: float = 2000
    max_wait_ms: float = 60_000
    question_characters: int = 8000
    shared_index: bool = False

    def seconds(self, wait_ms: float | None) -> float:
        """How long a wait of that many milliseconds may be; the usual one for None."""
        return (self.wait_ms if wait_ms is None else min(max(wait_ms, 0), self.max_wait_ms)) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """What the read path works with."""

    search: Search
    embedder: Embedder
    generator: Generator
    answer_cache: Cache
    question_vectors: Cache
    freshness: Freshness
    gate: FreshnessGate
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    found: Found
    context: tuple[ContextItem, ...]
    as_of: AsOf
    key: str


class AnswerService:
    """Implements ``services.Answers``."""

    def __init__(self, readers: Readers, collections: Mapping[str, Collection], settings: AnswerSettings) -> None:
        self._readers = readers
        self._collections = collections
        self._settings = settings

    async def ask(self, question: Question) -> Answer:
        """Answer a question; see ``services.Answers``."""
        evidence = await self._evidence(question)
        remembered = await self._readers.answer_cache.get(evidence.key)
        if remembered is not None:
            return self._answer(question, evidence, _decode(remembered), memoised=True)
        passages = [item.passage for item in evidence.context]
        draft = await self._readers.generator.generate(question.text, passages)
        await self._readers.answer_cache.put(evidence.key, _encode(draft))
        return self._answer(question, evidence, draft, memoised=False)

    async def stream(self, question: Question) -> AsyncIterator[Retrieval | TextDelta | Answer]:
        """Answer a question as the answer is made; see ``services.Answers``."""
        evidence = await self._evidence(question)
        sources = _page(evidence.found.passages, question)
        yield Retrieval(sources=sources, total_sources=evidence.found.total, as_of=evidence.as_of)
        remembered = await self._readers.answer_cache.get(evidence.key)
        if remembered is not None:
            draft = _decode(remembered)
            yield TextDelta(text=draft.text)
            yield self._answer(question, evidence, draft, memoised=True)
            return
        passages = [item.passage for item in evidence.context]
        async for piece in self._readers.generator.stream(question.text, passages):
            if isinstance(piece, TextDelta):
                yield piece
            else:
                await self._readers.answer_cache.put(evidence.key, _encode(piece))
                yield self._answer(question, evidence, piece, memoised=False)

    async def _evidence(self, question: Question) -> _Evidence:
        """Retrieval, always run: what is remembered is only what was generated from exactly this evidence (G7)."""
        readers = self._readers
        collection = self._check(question)
        readers.totals.add("queries")
        await self._wait(question)
        vector = await self._vector(question.text)
        as_of = readers.freshness.as_of()
        request = SearchRequest(
            vector=vector,
            text=question.text,
            limit=0,
            tables=self._tables(collection),
            conditions=question.conditions,
        )
        needed = max(self._settings.context_passages, question.page * question.page_size)
        found = await readers.search.passages(request, needed)
        best = found.passages[: self._settings.context_passages]
        reach = self._settings.neighbours
        context = build_context(best, await readers.search.around(best, reach), reach)
        key = evidence_key(question.text, [item.passage for item in context], readers.generator.model_id)
        return _Evidence(found=found, context=context, as_of=as_of, key=key)

    def _check(self, question: Question) -> Collection:
        if not question.text.strip():
            raise InvalidRequestError("The question is empty; ask something.")
        if len(question.text) > self._settings.question_characters:
            raise InvalidRequestError(
                f"The question has {len(question.text)} characters; at most {self._settings.question_characters} "
                "are allowed."
            )
        if question.page < 1 or not 1 <= question.page_size <= MAX_PAGE_SIZE:
            raise InvalidRequestError(f"page counts from 1 and page_size goes from 1 to {MAX_PAGE_SIZE}.")
        return find_collection(self._collections, question.collection)

    def _tables(self, collection: Collection) -> tuple[str, ...]:
        """The tables to search: none named means all, which needs no filter where all of the index is ours."""
        own = tuple(table.table for table in collection.tables)
        if self._settings.shared_index:
            return own
        everything = {table.table for other in self._collections.values() for table in other.tables}
        return () if set(own) == everything else own

    async def _wait(self, question: Question) -> None:
        seconds = self._settings.seconds(question.wait_ms)
        if question.token is not None:
            await self._readers.gate.wait(question.token, seconds)
        if question.max_staleness_ms is not None:
            await self._readers.gate.wait_current(question.max_staleness_ms, seconds)

    async def _vector(self, text: str) -> Vector:
        readers = self._readers
        key = f"{readers.embedder.model_id}\x1f{text}"
        known = await readers.question_vectors.get(key)
        if known is not None:
            return memoryview(known).cast("f").tolist()
        [vector] = await readers.embedder.embed([text], input_type="query")
        await readers.question_vectors.put(key, _pack(vector))
        return vector

    def _answer(self, question: Question, evidence: _Evidence, draft: AnswerDraft, *, memoised: bool) -> Answer:
        if memoised:
            self._readers.totals.add("memoised_answers")
        return Answer(
            text=draft.text,
            sufficient=draft.sufficient,
            citations=_citations(draft, evidence.context),
            sources=_page(evidence.found.passages, question),
            total_sources=evidence.found.total,
            page=question.page,
            page_size=question.page_size,
            as_of=evidence.as_of,
            model=self._readers.generator.model_id,
            memoised=memoised,
        )


def find_collection(collections: Mapping[str, Collection], name: str | None) -> Collection:
    """A collection by name, the first one configured for None; raises NotFoundError."""
    if name is None:
        return next(iter(collections.values()))
    if name not in collections:
        raise NotFoundError(f"There is no collection {name!r}; there are: {', '.join(collections)}.")
    return collections[name]


def _page(passages: Sequence[Passage], question: Question) -> tuple[Source, ...]:
    start = (question.page - 1) * question.page_size
    return tuple(
        Source(
            rank=start + place + 1,
            key=passage.chunk.key,
            title=passage.chunk.title,
            heading_path=passage.chunk.heading_path,
            text=passage.chunk.text,
            score=round(passage.score, 6),
            chunk_id=passage.chunk.id,
            ordinal=passage.ordinal,
            version=passage.manifest.version,
            position=passage.manifest.position,
            commit_time=passage.manifest.commit_time,
            metadata={**passage.manifest.headers, **passage.manifest.metadata},
        )
        for place, passage in enumerate(passages[start : start + question.page_size])
    )


def _citations(draft: AnswerDraft, context: Sequence[ContextItem]) -> tuple[Citation, ...]:
    by_number = {item.passage.number: item for item in context}
    return tuple(
        Citation(
            number=span.number,
            key=item.manifest.key,
            title=item.passage.title,
            heading_path=item.passage.heading_path,
            quote=span.quote,
            chunk_ids=item.passage.chunk_ids,
            version=item.manifest.version,
            position=item.manifest.position,
            commit_time=item.manifest.commit_time,
        )
        for span in draft.citations
        if (item := by_number.get(span.number)) is not None
    )


def _encode(draft: AnswerDraft) -> bytes:
    spans = [[span.number, span.quote] for span in draft.citations]
    return json.dumps([draft.text, spans, draft.sufficient]).encode()


def _decode(value: bytes) -> AnswerDraft:
    text, spans, sufficient = json.loads(value)
    citations = tuple(CitedSpan(number=number, quote=quote) for number, quote in spans)
    return AnswerDraft(text=text, citations=citations, sufficient=sufficient)


def _pack(vector: Vector) -> bytes:
    return array("f", vector).tobytes()

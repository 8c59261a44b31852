"""Answers to questions in memory, for tests of the entry points."""

from collections.abc import AsyncIterator, Mapping

from rtrag.application.answer import find_collection
from rtrag.application.questions import Answer, Citation, Question, Retrieval, Source
from rtrag.application.services import Collection
from rtrag.domain.conditions import all_match
from rtrag.domain.document import StoredDocument
from rtrag.domain.freshness import AsOf
from rtrag.domain.position import Position
from rtrag.ports.generation import TextDelta
from rtrag.testing.state import FakeState, now


class FakeAnswers:
    """Finds documents that share a word with the question, and quotes the first."""

    def __init__(self, state: FakeState, collections: Mapping[str, Collection]) -> None:
        self._state = state
        self._collections = collections

    async def ask(self, question: Question) -> Answer:
        self._state.check()
        self._state.questions.append(question)
        tables = [mapping.table for mapping in find_collection(self._collections, question.collection).tables]
        self._state.require(question.token)
        words = {word.strip("?.,").lower() for word in question.text.split()}
        found = [
            row
            for key, row in sorted(self._state.rows.items())
            if key.table in tables
            and words & {word.strip("?.,").lower() for word in f"{row.title} {row.content}".split()}
            and all_match(question.conditions, row.metadata)
        ]
        sources = [self._source(rank, row) for rank, row in enumerate(found, start=1)]
        first = (question.page - 1) * question.page_size
        return Answer(
            text=f"{found[0].content} [1]" if found else "The documents do not say.",
            sufficient=bool(found),
            citations=tuple(self._citation(source) for source in sources[:1]),
            sources=tuple(sources[first : first + question.page_size]),
            total_sources=len(sources),
            page=question.page,
            page_size=question.page_size,
            as_of=AsOf(epoch=1, lsn=self._state.visible_lsn, commit_time=now(), lag_ms=0.5),
            model="fake",
            memoised=False,
        )

    async def stream(self, question: Question) -> AsyncIterator[Retrieval | TextDelta | Answer]:
        answer = await self.ask(question)
        yield Retrieval(sources=answer.sources, total_sources=answer.total_sources, as_of=answer.as_of)
        for word in answer.text.split():
            yield TextDelta(text=f"{word} ")
            if self._state.stream_failure is not None:
                raise self._state.stream_failure
        yield answer

    def _source(self, rank: int, row: StoredDocument) -> Source:
        return Source(
            rank=rank,
            key=row.key,
            title=row.title,
            heading_path=(),
            text=row.content,
            score=1 / rank,
            chunk_id=f"chunk-{row.key.id}",
            ordinal=0,
            version=row.version,
            position=Position(1, self._state.visible_lsn, 0),
            commit_time=row.updated_at,
            metadata=row.metadata,
        )

    def _citation(self, source: Source) -> Citation:
        return Citation(
            number=source.rank,
            key=source.key,
            title=source.title,
            heading_path=source.heading_path,
            quote=source.text,
            chunk_ids=(source.chunk_id,),
            version=source.version,
            position=source.position,
            commit_time=source.commit_time,
        )

"""A running instance in memory, for tests of the entry points: no database, no index, no waiting.

It keeps the contracts of ``rtrag.application.services``: versions count up, writes return tokens that rise, a token
that is not reached yet times out, a document with an open letter refuses its token.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import unquote

from rtrag.application.questions import Answer, Citation, Question, Retrieval, Source
from rtrag.application.services import (
    Collection,
    Difference,
    DocumentWritten,
    ReplayOutcome,
    Services,
    VerifyReport,
)
from rtrag.application.status import PipelineStatus
from rtrag.domain.conditions import all_match
from rtrag.domain.document import DocumentKey, Json, StoredDocument
from rtrag.domain.errors import (
    ConflictError,
    DeadLetterOpenError,
    FreshnessTimeoutError,
    NotFoundError,
    ReadOnlyCollectionError,
)
from rtrag.domain.freshness import AsOf, FreshnessToken
from rtrag.domain.mapping import TableMapping
from rtrag.domain.position import Position, format_lsn
from rtrag.ports.dead_letters import DeadLetter
from rtrag.ports.generation import TextDelta

FIRST_LSN = 0x1000000
_STEP = 0x100


@dataclass(slots=True, kw_only=True)
class FakeState:
    """What the fakes share and tests may set.

    Attributes:
        rows: the documents of each table, by key.
        lsn: of the newest commit; ``visible_lsn`` trails it only where a test holds it back.
        failure: raised by every call while it is set.
        stream_failure: raised by a streamed answer after its first piece of text.
        questions: every question that was asked.
    """

    rows: dict[DocumentKey, StoredDocument] = field(default_factory=dict)
    letters: dict[DocumentKey, DeadLetter] = field(default_factory=dict)
    mended: set[DocumentKey] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)
    lsn: int = FIRST_LSN
    held_at: int | None = None
    ready: bool = True
    problems: tuple[str, ...] = ()
    failure: Exception | None = None
    stream_failure: Exception | None = None
    questions: list[Question] = field(default_factory=list)

    @property
    def visible_lsn(self) -> int:
        return self.lsn if self.held_at is None else self.held_at

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def commit(self) -> int:
        """Advance the log by one change; return the LSN taken before it, as a token carries it."""
        before = self.lsn + 1
        self.lsn += _STEP
        return before

    def require(self, token: FreshnessToken | None) -> None:
        if token is None:
            return
        if token.key is not None and token.key in self.letters:
            raise DeadLetterOpenError(f"The write of {token.key} could not be indexed: {self.letters[token.key].cause}")
        if token.lsn > self.visible_lsn:
            raise FreshnessTimeoutError(
                f"The index stands at {format_lsn(self.visible_lsn)} and did not reach {token} in time."
            )


class FakeAnswers:
    """Finds documents that share a word with the question, and quotes the first."""

    def __init__(self, state: FakeState, collections: Mapping[str, Collection]) -> None:
        self._state = state
        self._collections = collections

    async def ask(self, question: Question) -> Answer:
        self._state.check()
        self._state.questions.append(question)
        tables = [mapping.table for mapping in collection_of(self._collections, question.collection).tables]
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
            as_of=AsOf(epoch=1, lsn=self._state.visible_lsn, commit_time=_now(), lag_ms=0.5),
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


class FakeDocuments:
    """Rows in memory, with a single text column as their key."""

    def __init__(self, state: FakeState, collections: Mapping[str, Collection]) -> None:
        self._state = state
        self._collections = collections

    async def get(self, collection: str | None, document_id: str) -> StoredDocument:
        self._state.check()
        return self._row(self._table(collection), document_id)

    async def list(
        self, collection: str | None, *, limit: int, offset: int, search: str | None
    ) -> tuple[Sequence[StoredDocument], int]:
        self._state.check()
        table = self._table(collection)
        found = [
            row
            for key, row in sorted(self._state.rows.items())
            if key.table == table and (search or "").lower() in f"{row.title}\n{row.content}".lower()
        ]
        return found[offset : offset + limit], len(found)

    async def create(
        self, collection: str | None, document_id: str | None, title: str, content: str, metadata: Mapping[str, Json]
    ) -> DocumentWritten:
        self._state.check()
        table = self._writable(collection)
        key = DocumentKey(table, (document_id or f"made-{len(self._state.rows) + 1}",))
        if key in self._state.rows:
            raise ConflictError(f"There is a document {key.id!r} already; change it, or choose another id.")
        return self._put(key, title, content, metadata, 1)

    async def update(
        self,
        collection: str | None,
        document_id: str,
        *,
        title: str | None,
        content: str | None,
        metadata: Mapping[str, Json] | None,
        expected_version: int | None,
    ) -> DocumentWritten:
        self._state.check()
        row = self._expected(self._writable(collection), document_id, expected_version)
        return self._put(
            row.key,
            row.title if title is None else title,
            row.content if content is None else content,
            row.metadata if metadata is None else metadata,
            (row.version or 0) + 1,
        )

    async def delete(
        self, collection: str | None, document_id: str, *, expected_version: int | None
    ) -> DocumentWritten:
        self._state.check()
        row = self._expected(self._writable(collection), document_id, expected_version)
        del self._state.rows[row.key]
        token = FreshnessToken(lsn=self._state.commit(), key=row.key)
        return DocumentWritten(key=row.key, document=None, token=token)

    def _put(
        self, key: DocumentKey, title: str, content: str, metadata: Mapping[str, Json], version: int
    ) -> DocumentWritten:
        before = self._state.rows.get(key)
        row = StoredDocument(
            key=key,
            title=title,
            content=content,
            metadata=dict(metadata),
            version=version,
            created_at=before.created_at if before else _now(),
            updated_at=_now(),
        )
        self._state.rows[key] = row
        return DocumentWritten(key=key, document=row, token=FreshnessToken(lsn=self._state.commit(), key=key))

    def _table(self, collection: str | None) -> str:
        return collection_of(self._collections, collection).tables[0].table

    def _writable(self, collection: str | None) -> str:
        found = collection_of(self._collections, collection)
        if not found.writable:
            raise ReadOnlyCollectionError
        return found.tables[0].table

    def _row(self, table: str, document_id: str) -> StoredDocument:
        row = self._state.rows.get(DocumentKey(table, (unquote(document_id),)))
        if row is None:
            raise NotFoundError(f"There is no document {document_id!r} in {table}.")
        return row

    def _expected(self, table: str, document_id: str, version: int | None) -> StoredDocument:
        row = self._row(table, document_id)
        if version is not None and version != row.version:
            raise ConflictError(f"Document {document_id!r} has version {row.version}, not {version}; read it again.")
        return row


class FakeLetters:
    """Letters in memory; a replay closes those that a test has marked as mended."""

    def __init__(self, state: FakeState) -> None:
        self._state = state

    async def list(self, *, limit: int, after: str | None) -> Sequence[DeadLetter]:
        self._state.check()
        behind = DocumentKey.parse(after) if after else None
        found = [letter for key, letter in sorted(self._state.letters.items()) if behind is None or key > behind]
        return found[:limit]

    async def count(self) -> int:
        return len(self._state.letters)

    async def show(self, key: str) -> DeadLetter:
        self._state.check()
        return self._letter(key)

    async def replay(self, key: str | None) -> Sequence[ReplayOutcome]:
        self._state.check()
        return [self._replayed(letter) for letter in ([self._letter(key)] if key else [*self._state.letters.values()])]

    async def drop(self, key: str) -> None:
        self._state.check()
        del self._state.letters[self._letter(key).key]

    def _replayed(self, letter: DeadLetter) -> ReplayOutcome:
        if letter.key in self._state.mended:
            del self._state.letters[letter.key]
            return ReplayOutcome(key=letter.key, closed=True, cause=None)
        self._state.letters[letter.key] = replace(letter, attempts=letter.attempts + 1, last_failed=_now())
        return ReplayOutcome(key=letter.key, closed=False, cause=letter.cause)

    def _letter(self, key: str) -> DeadLetter:
        letter = self._state.letters.get(DocumentKey.parse(key))
        if letter is None:
            raise NotFoundError(f"There is no open dead letter of {key}.")
        return letter


class FakeOperations:
    """The state that a test has set, as the pipeline's."""

    def __init__(self, state: FakeState) -> None:
        self._state = state

    async def status(self) -> PipelineStatus:
        self._state.check()
        lsn = format_lsn(self._state.visible_lsn)
        return PipelineStatus(
            phase="live" if self._state.ready else "catching_up",
            ready=self._state.ready,
            problems=self._state.problems,
            epoch=1,
            visible_lsn=lsn,
            durable_lsn=lsn,
            received_lsn=format_lsn(self._state.lsn),
            lag_ms=1.5,
            counts={"documents": len(self._state.rows), "tombstones": 0, "chunks": len(self._state.rows)},
            copying=(),
            dead_letters=len(self._state.letters),
            slot={"name": "rtrag", "retained_bytes": 4096},
            totals={"events": 3, "documents": 2, "embedded_chunks": 2, "dead_letters": 0},
            model="fake",
        )

    async def verify(self, *, repair: bool) -> VerifyReport:
        self._state.check()
        found = tuple(self._state.differences)
        if repair:
            self._state.differences.clear()
        return VerifyReport(
            documents=len(self._state.rows),
            chunks=len(self._state.rows),
            differences=() if repair else found,
            repaired=len(found) if repair else 0,
        )

    async def wait_visible(self, token: FreshnessToken, wait_ms: float | None) -> None:  # noqa: ARG002 - nothing waits here
        self._state.check()
        self._state.require(token)


def fake_services(state: FakeState | None = None) -> Services:
    """An instance with a writable collection ``documents`` and a read-only one ``archive``."""
    shared = state or FakeState()
    collections = {
        "documents": Collection(
            name="documents", tables=(TableMapping(table="public.documents", key_columns=("id",), writable=True),)
        ),
        "archive": Collection(name="archive", tables=(TableMapping(table="public.archive", key_columns=("id",)),)),
    }
    return Services(
        collections=collections,
        answers=FakeAnswers(shared, collections),
        documents=FakeDocuments(shared, collections),
        letters=FakeLetters(shared),
        operations=FakeOperations(shared),
        postgres_url="postgresql:///fake",
    )


def collection_of(collections: Mapping[str, Collection], name: str | None) -> Collection:
    """The named collection, or the first. Raises NotFoundError."""
    if name is None:
        return next(iter(collections.values()))
    if name not in collections:
        raise NotFoundError(f"There is no collection {name!r}; there are {', '.join(collections)}.")
    return collections[name]


def dead_letter(key: DocumentKey, cause: str = "the embedder refused it") -> DeadLetter:
    """An open letter of a document."""
    return DeadLetter(
        key=key,
        position=Position(1, FIRST_LSN, 0),
        cause=cause,
        attempts=1,
        payload={"content": "as it came"},
        first_failed=_now(),
        last_failed=_now(),
    )


def _now() -> datetime:
    return datetime.now(UTC)


__all__ = ["FakeState", "collection_of", "dead_letter", "fake_services"]

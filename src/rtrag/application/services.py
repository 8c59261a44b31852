"""Everything the entry points talk to: built once by ``bootstrap``, the same for HTTP and command line."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rtrag.application.questions import Answer, Question, Retrieval
from rtrag.application.stages import Stage, Times
from rtrag.application.status import PipelineStatus
from rtrag.domain.document import DocumentKey, Json, StoredDocument
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.mapping import TableMapping
from rtrag.ports.dead_letters import DeadLetter
from rtrag.ports.generation import TextDelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A named index over one or more tables."""

    name: str
    tables: tuple[TableMapping, ...]

    @property
    def writable(self) -> bool:
        """Whether the API may write documents: to the collection's first table."""
        return self.tables[0].writable


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentWritten:
    """A committed write and the token that a query needs to see it. ``document`` is None after a delete."""

    key: DocumentKey
    document: StoredDocument | None
    token: FreshnessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOutcome:
    """What became of a replayed letter: ``closed``, or still open with its new cause."""

    key: DocumentKey
    closed: bool
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A document whose index entry is not what its row says. ``kind``: missing, extra, different, orphan."""

    kind: str
    key: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a comparison of tables and index found.

    ``repaired`` counts differences that were mended; all that remain are in ``differences``.
    """

    documents: int
    chunks: int
    differences: tuple[Difference, ...]
    repaired: int


class Answers(Protocol):
    """The read path."""

    async def ask(self, question: Question) -> Answer:
        """Answer a question. Raises InvalidRequestError, NotFoundError (collection), FreshnessTimeoutError,
        DeadLetterOpenError, NotReadyError, TransientError.
        """
        ...

    def stream(self, question: Question) -> AsyncIterator[Retrieval | TextDelta | Answer]:
        """The same, as it is made: first a Retrieval, then pieces of text, last the whole Answer."""
        ...


class Documents(Protocol):
    """The documents of the collections: reading all, writing those that are writable.

    ``collection`` None means the first one. All raise NotFoundError for an unknown collection, and the writes
    ReadOnlyCollectionError, ConflictError, NotFoundError and InvalidRequestError.
    """

    async def get(self, collection: str | None, document_id: str) -> StoredDocument: ...

    async def list(
        self, collection: str | None, *, limit: int, offset: int, search: str | None
    ) -> tuple[Sequence[StoredDocument], int]: ...

    async def create(
        self, collection: str | None, document_id: str | None, title: str, content: str, metadata: Mapping[str, Json]
    ) -> DocumentWritten: ...

    async def update(
        self,
        collection: str | None,
        document_id: str,
        *,
        title: str | None,
        content: str | None,
        metadata: Mapping[str, Json] | None,
        expected_version: int | None,
    ) -> DocumentWritten: ...

    async def delete(
        self, collection: str | None, document_id: str, *, expected_version: int | None
    ) -> DocumentWritten: ...


class Letters(Protocol):
    """Dead letters, for people."""

    async def list(self, *, limit: int, after: str | None) -> Sequence[DeadLetter]: ...

    async def count(self) -> int: ...

    async def show(self, key: str) -> DeadLetter:
        """Raises NotFoundError."""
        ...

    async def replay(self, key: str | None) -> Sequence[ReplayOutcome]:
        """Read the rows as they are now and index them: one document, or all with None."""
        ...

    async def drop(self, key: str) -> None:
        """Forget a letter without replaying it. Raises NotFoundError."""
        ...


class Operations(Protocol):
    """Watching and mending the pipeline."""

    async def status(self) -> PipelineStatus: ...

    def stages(self, seconds: float) -> Mapping[Stage, Times]:
        """How long changes of the last ``seconds`` took at each stage; empty where nothing is indexed."""
        ...

    async def verify(self, *, repair: bool) -> VerifyReport: ...

    async def wait_visible(self, token: FreshnessToken, wait_ms: float | None) -> None:
        """Return when the token is satisfied. Raises FreshnessTimeoutError, DeadLetterOpenError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One running instance."""

    collections: Mapping[str, Collection]
    answers: Answers
    documents: Documents
    letters: Letters
    operations: Operations
    postgres_url: str

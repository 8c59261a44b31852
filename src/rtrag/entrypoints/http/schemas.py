"""The shapes of the query API. What comes in refuses unknown names; what goes out has every field, always."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from rtrag.application.questions import Answer, Citation, Question, Retrieval, Source
from rtrag.application.services import Collection
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import InvalidRequestError
from rtrag.domain.freshness import AsOf, FreshnessToken
from rtrag.domain.position import format_lsn
from rtrag.entrypoints.http.filters import Filters, conditions_of
from rtrag.entrypoints.http.texts import STORABLE, Text

MAX_WAIT_MS = 60_000.0
Milliseconds: TypeAlias = Annotated[float, Field(ge=0, le=MAX_WAIT_MS, allow_inf_nan=False)]


class QueryIn(BaseModel):
    """A question, where to look, and how fresh the answer has to be."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"query": "How long are sessions kept?"},
                {
                    "query": "Which proposals were accepted?",
                    "filters": {"status": ["Accepted", "Final"], "year": {"gte": 2020, "lt": 2024}},
                    "page_size": 5,
                    "min_position": "public.documents/doc-1@0/1A2B3C8",
                },
            ]
        },
    )

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8_000), STORABLE] = Field(
        description="The question, in plain words."
    )
    collection: Text | None = Field(None, description="Name of a collection; the first one if it is left out.")
    page: int = Field(1, ge=1, le=10_000, description="Which page of the sources; the answer is the same on each.")
    page_size: int = Field(10, ge=1, le=100, description="Sources on a page.")
    filters: Filters = Field(
        default_factory=dict, description="Metadata that a source's document must have: a value, a list, or a range."
    )
    min_position: str | None = Field(
        None,
        max_length=4_096,
        description="Freshness token of a write, or an LSN: the answer reflects it, or the request fails with 503.",
    )
    max_staleness_ms: Milliseconds | None = Field(
        None, description="The answer reflects everything committed up to this long ago."
    )
    wait_ms: Milliseconds | None = Field(None, description="How long to wait for freshness; a default if left out.")
    stream: bool = Field(default=False, description="Answer as server-sent events, as /query/stream does.")

    def question(self, header_token: str | None) -> Question:
        """What the application is asked. Raises InvalidRequestError."""
        if header_token and self.min_position and header_token != self.min_position:
            raise InvalidRequestError("X-Freshness-Token and min_position differ; send one of them.")
        token = self.min_position or header_token
        return Question(
            text=self.query,
            collection=self.collection,
            conditions=conditions_of(self.filters),
            page=self.page,
            page_size=self.page_size,
            token=parse_token(token) if token else None,
            max_staleness_ms=self.max_staleness_ms,
            wait_ms=self.wait_ms,
        )


@dataclass(slots=True, kw_only=True)
class AsOfOut:
    """What the answer reflects."""

    position: Annotated[str, Field(description="Everything committed at or before this LSN; usable as min_position.")]
    epoch: Annotated[int, Field(description="Rises whenever LSNs stop being comparable.")]
    commit_time: Annotated[datetime | None, Field(description="Of the newest transaction in it.")]
    lag_ms: Annotated[float, Field(description="How long ago it was last known that nothing newer was committed.")]
    stale_reason: Annotated[
        str | None, Field(description="Why the index as a whole may be behind, null when it is not.")
    ]

    @classmethod
    def of(cls, as_of: AsOf) -> "AsOfOut":
        return cls(
            position=format_lsn(as_of.lsn),
            epoch=as_of.epoch,
            commit_time=as_of.commit_time,
            lag_ms=as_of.lag_ms,
            stale_reason=as_of.stale_reason,
        )


@dataclass(slots=True, kw_only=True)
class SourceOut:
    """A passage that retrieval found, best first."""

    rank: int
    document: Annotated[str, Field(description="Document key: table and primary key.")]
    id: Annotated[str, Field(description="The primary key alone, as /api/documents/{id} takes it.")]
    title: str
    heading_path: list[str]
    text: str
    score: Annotated[float, Field(description="Fused from meaning and words, between 0 and 1.")]
    chunk_id: str
    ordinal: Annotated[int, Field(description="The passage's place in its document, from 0.")]
    version: Annotated[int | None, Field(description="Version of the document; null where the table counts none.")]
    position: Annotated[str, Field(description="Position of the change that made this version: epoch:LSN:ordinal.")]
    commit_time: datetime | None
    metadata: dict[str, Any]

    @classmethod
    def of(cls, source: Source) -> "SourceOut":
        document, document_id = _texts(source.key)
        return cls(
            rank=source.rank,
            document=document,
            id=document_id,
            title=source.title,
            heading_path=list(source.heading_path),
            text=source.text,
            score=source.score,
            chunk_id=source.chunk_id,
            ordinal=source.ordinal,
            version=source.version,
            position=str(source.position),
            commit_time=source.commit_time,
            metadata=dict(source.metadata),
        )


@dataclass(slots=True, kw_only=True)
class CitationOut:
    """A place that the answer rests on."""

    number: Annotated[int, Field(description="What the answer's text refers to as [number].")]
    document: str
    id: str
    title: str
    heading_path: list[str]
    quote: str
    chunk_ids: list[str]
    version: int | None
    position: str
    commit_time: datetime | None

    @classmethod
    def of(cls, citation: Citation) -> "CitationOut":
        document, document_id = _texts(citation.key)
        return cls(
            number=citation.number,
            document=document,
            id=document_id,
            title=citation.title,
            heading_path=list(citation.heading_path),
            quote=citation.quote,
            chunk_ids=list(citation.chunk_ids),
            version=citation.version,
            position=str(citation.position),
            commit_time=citation.commit_time,
        )


@dataclass(slots=True, kw_only=True)
class AnswerOut:
    """An answer with everything it rests on."""

    answer: Annotated[str, Field(description="Refers to citations as [number].")]
    sufficient: Annotated[bool, Field(description="Whether the sources answer the question.")]
    citations: list[CitationOut]
    sources: list[SourceOut]
    total_sources: int
    page: int
    page_size: int
    as_of: AsOfOut
    model: Annotated[str, Field(description="What generated the text.")]
    memoised: Annotated[bool, Field(description="The text was generated before, from exactly this evidence.")]

    @classmethod
    def of(cls, answer: Answer) -> "AnswerOut":
        return cls(
            answer=answer.text,
            sufficient=answer.sufficient,
            citations=[CitationOut.of(citation) for citation in answer.citations],
            sources=[SourceOut.of(source) for source in answer.sources],
            total_sources=answer.total_sources,
            page=answer.page,
            page_size=answer.page_size,
            as_of=AsOfOut.of(answer.as_of),
            model=answer.model,
            memoised=answer.memoised,
        )


@dataclass(slots=True, kw_only=True)
class RetrievalOut:
    """The first event of a streamed answer: what was found, before anything is generated."""

    sources: list[SourceOut]
    total_sources: int
    as_of: AsOfOut

    @classmethod
    def of(cls, retrieval: Retrieval) -> "RetrievalOut":
        return cls(
            sources=[SourceOut.of(source) for source in retrieval.sources],
            total_sources=retrieval.total_sources,
            as_of=AsOfOut.of(retrieval.as_of),
        )


# Plain dataclasses, because an answer has a dozen of these: models would take twice as long to make and write out.
ANSWER = TypeAdapter(AnswerOut)
RETRIEVAL = TypeAdapter(RetrievalOut)


class DeltaOut(BaseModel):
    """A further piece of a streamed answer's text."""

    text: str


class CollectionOut(BaseModel):
    """A named index over one or more tables."""

    name: str
    tables: list[str]
    writable: bool = Field(description="Whether the update API may write its documents.")

    @classmethod
    def of(cls, collection: Collection) -> "CollectionOut":
        return cls(
            name=collection.name, tables=[mapping.table for mapping in collection.tables], writable=collection.writable
        )


class CollectionsOut(BaseModel):
    """The collections; the first is the default."""

    collections: list[CollectionOut]


def parse_token(text: str) -> FreshnessToken:
    """A freshness token from its text. Raises InvalidRequestError."""
    try:
        return FreshnessToken.parse(text.strip())
    except ValueError as exc:
        raise InvalidRequestError(
            f"{text!r} is not a freshness token. Send back what a write returned, as public.documents/doc-1@0/1A2B3C8, "
            "or an LSN as 0/1A2B3C8."
        ) from exc


@lru_cache(maxsize=8_192)
def _texts(key: DocumentKey) -> tuple[str, str]:
    """The two text forms of a key: escaping them anew for every source costs more than the rest of a response."""
    return str(key), key.id

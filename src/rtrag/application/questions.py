"""What is asked and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rtrag.domain.conditions import Condition
from rtrag.domain.document import DocumentKey, Json
from rtrag.domain.freshness import AsOf, FreshnessToken
from rtrag.domain.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, where to look for its answer, and how fresh the answer has to be.

    Attributes:
        collection: name of a collection, None for the first one configured.
        page, page_size: which of the sources to return; the answer rests on the best ones whatever the page.
        token: the answer must reflect this write.
        max_staleness_ms: the answer must reflect everything committed up to this long ago.
        wait_ms: how long to wait for either, None for the configured default.
    """

    text: str
    collection: str | None = None
    conditions: tuple[Condition, ...] = ()
    page: int = 1
    page_size: int = 10
    token: FreshnessToken | None = None
    max_staleness_ms: float | None = None
    wait_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A passage that retrieval found, best first."""

    rank: int
    key: DocumentKey
    title: str
    heading_path: tuple[str, ...]
    text: str
    score: float
    chunk_id: str
    ordinal: int
    version: int | None
    position: Position
    commit_time: datetime | None
    metadata: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A place the answer rests on; ``number`` is what the answer's text refers to as ``[number]``."""

    number: int
    key: DocumentKey
    title: str
    heading_path: tuple[str, ...]
    quote: str
    chunk_ids: tuple[str, ...]
    version: int | None
    position: Position
    commit_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with everything it rests on.

    ``total_sources`` counts the candidates found; hits of documents that have just changed may drop out further down.
    ``memoised`` says that the text was generated before, from exactly this evidence.
    """

    text: str
    sufficient: bool
    citations: tuple[Citation, ...]
    sources: tuple[Source, ...]
    total_sources: int
    page: int
    page_size: int
    as_of: AsOf
    model: str
    memoised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """The first event of a streamed answer: what was found, before anything is generated."""

    sources: tuple[Source, ...]
    total_sources: int
    as_of: AsOf

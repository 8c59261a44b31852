"""What the fake services share: rows, letters and a log of commits, in memory."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from rtrag.application.questions import Question
from rtrag.application.services import Difference
from rtrag.domain.document import DocumentKey, StoredDocument
from rtrag.domain.errors import DeadLetterOpenError, FreshnessTimeoutError
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.position import Position, format_lsn
from rtrag.ports.dead_letters import DeadLetter

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


def dead_letter(key: DocumentKey, cause: str = "the embedder refused it") -> DeadLetter:
    """An open letter of a document."""
    return DeadLetter(
        key=key,
        position=Position(1, FIRST_LSN, 0),
        cause=cause,
        attempts=1,
        payload={"content": "as it came"},
        first_failed=now(),
        last_failed=now(),
    )


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)

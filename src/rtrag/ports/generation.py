"""Making an answer from passages."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rtrag.domain.prompt import AnswerDraft, ContextPassage


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A further piece of the answer's text."""

    text: str


class Generator(Protocol):
    """Answers a question from numbered passages alone."""

    @property
    def model_id(self) -> str:
        """Names the generator and the settings that change its answers; part of the keys of the answer cache."""
        ...

    async def generate(self, question: str, passages: Sequence[ContextPassage]) -> AnswerDraft:
        """The whole answer. Raises TransientError, TerminalError or ConfigurationError."""
        ...

    def stream(self, question: str, passages: Sequence[ContextPassage]) -> AsyncIterator[TextDelta | AnswerDraft]:
        """The answer as it is made: pieces of text, then the whole draft as the last item."""
        ...

"""A generator for tests: it answers with the passages themselves."""

from collections.abc import AsyncIterator, Sequence

from rtrag.domain.errors import RtragError
from rtrag.domain.prompt import AnswerDraft, CitedSpan, ContextPassage
from rtrag.ports.generation import TextDelta


class EchoGenerator:
    """Answers with the first line of every passage, each cited, so that a test sees what the evidence was.

    Attributes:
        asked: the questions and passages of every call, in order.
    """

    def __init__(self, *, model_id: str = "echo/1") -> None:
        self._model_id = model_id
        self._failures: list[RtragError] = []
        self.asked: list[tuple[str, tuple[ContextPassage, ...]]] = []

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def calls(self) -> int:
        return len(self.asked)

    def fail_next(self, *errors: RtragError) -> None:
        """The next calls raise these errors, one a call."""
        self._failures.extend(errors)

    async def generate(self, question: str, passages: Sequence[ContextPassage]) -> AnswerDraft:
        """See ``rtrag.ports.generation.Generator``."""
        self.asked.append((question, tuple(passages)))
        if self._failures:
            raise self._failures.pop(0)
        spans = tuple(CitedSpan(number=passage.number, quote=_first_line(passage.text)) for passage in passages)
        text = " ".join(f"{span.quote} [{span.number}]" for span in spans)
        return AnswerDraft(text=text or "Nothing was found.", citations=spans, sufficient=bool(spans))

    async def stream(self, question: str, passages: Sequence[ContextPassage]) -> AsyncIterator[TextDelta | AnswerDraft]:
        """See ``rtrag.ports.generation.Generator``: one piece a word, then the draft."""
        draft = await self.generate(question, passages)
        words = draft.text.split(" ")
        for number, word in enumerate(words):
            yield TextDelta(text=word if number == 0 else f" {word}")
        yield draft


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]

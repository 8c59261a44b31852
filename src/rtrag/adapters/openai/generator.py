"""Answers by OpenAI's chat completions, or by any server that speaks their protocol."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from openai import APIStatusError, AsyncOpenAI, OpenAIError

from rtrag.adapters.openai.errors import mapped, refused
from rtrag.domain.errors import TerminalError, TransientError
from rtrag.domain.json_field import StringField
from rtrag.domain.prompt import ANSWER_SCHEMA, INSTRUCTIONS, AnswerDraft, ContextPassage, read_answer, render
from rtrag.ports.generation import TextDelta

_OPENAI_HOST: Final = "api.openai.com"
_BY_SCHEMA: Final = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": ANSWER_SCHEMA},
}
# From the most to the least that a server may support.
_FORMATS: Final = (_BY_SCHEMA, {"type": "json_object"}, None)


class OpenAIGenerator:
    """Answers with structured output; a server that refuses a schema is asked for JSON, then for text alone.

    The client's own retries should be off. What the server turned out to support is remembered.
    """

    def __init__(
        self, client: AsyncOpenAI, *, model: str, temperature: float = 0.0, max_output_tokens: int = 800
    ) -> None:
        self._client = client
        self._model = model
        self._temperature = temperature
        self._max_output_tokens = max_output_tokens
        self._format = 0
        self._address = f"{client.base_url.host}:{client.base_url.port or client.base_url.scheme}"

    @property
    def model_id(self) -> str:
        return f"openai-{self._model}@{self._address}/{self._temperature}/{self._max_output_tokens}"

    async def generate(self, question: str, passages: Sequence[ContextPassage]) -> AnswerDraft:
        """See ``rtrag.ports.generation.Generator``."""
        try:
            completion = await self._create(question, passages, stream=False)
            choice = completion.choices[0]
            said, text, reason = choice.message.refusal, choice.message.content, choice.finish_reason
        except OpenAIError as exc:
            raise mapped(exc, model=self._model, address=self._address) from exc
        except (ValueError, AttributeError, LookupError, TypeError) as exc:
            raise self._other_form(exc) from exc
        return self._draft(text or "", said or "", reason, passages)

    async def stream(self, question: str, passages: Sequence[ContextPassage]) -> AsyncIterator[TextDelta | AnswerDraft]:
        """See ``rtrag.ports.generation.Generator``: the answer's text as it comes out of the JSON around it."""
        field = StringField("answer")
        text, said, shown = "", "", ""
        reason: str | None = None
        try:
            async with await self._create(question, passages, stream=True) as chunks:
                async for chunk in chunks:
                    for choice in chunk.choices:
                        piece = choice.delta.content or ""
                        text += piece
                        said += choice.delta.refusal or ""
                        reason = choice.finish_reason or reason
                        if news := field.feed(piece):
                            shown += news
                            yield TextDelta(text=news)
        except OpenAIError as exc:
            raise mapped(exc, model=self._model, address=self._address) from exc
        except (ValueError, AttributeError, LookupError, TypeError) as exc:
            raise self._other_form(exc) from exc
        draft = self._draft(text, said, reason, passages)
        if not shown and draft.text:
            yield TextDelta(text=draft.text)
        yield draft

    async def _create(self, question: str, passages: Sequence[ContextPassage], *, stream: bool) -> Any:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": INSTRUCTIONS},
                {"role": "user", "content": render(question, passages).encode("utf-8", "replace").decode()},
            ],
            "temperature": self._temperature,
            "stream": stream,
            # Servers that only resemble OpenAI's know the older name alone.
            "max_completion_tokens" if self._client.base_url.host == _OPENAI_HOST else "max_tokens": (
                self._max_output_tokens
            ),
        }
        create: Any = self._client.chat.completions.create  # its overloads want every argument by name
        while True:
            kind = _FORMATS[self._format]
            try:
                extra = {} if kind is None else {"response_format": kind}
                return await create(**request, **extra)
            except APIStatusError as exc:
                if kind is None or not (refused(exc) and _about_format(exc)):
                    raise
                self._format += 1

    def _draft(self, text: str, refusal: str, reason: str | None, passages: Sequence[ContextPassage]) -> AnswerDraft:
        if refusal:
            return AnswerDraft(text=refusal, citations=(), sufficient=False)
        if reason == "length":
            raise TerminalError(
                f"Model {self._model!r} needed more than {self._max_output_tokens} tokens for its answer; "
                "raise RTRAG_GENERATOR__MAX_OUTPUT_TOKENS, or ask a narrower question."
            )
        if reason is None:
            raise TransientError(f"{self._address} broke off before the answer was complete; ask again.")
        if not text.strip():
            raise TerminalError(f"Model {self._model!r} at {self._address} returned no answer ({reason}).")
        return read_answer(text, passages)

    def _other_form(self, exc: Exception) -> TransientError:
        return TransientError(f"{self._address} does not answer as OpenAI's API does: {exc}.")


def _about_format(exc: APIStatusError) -> bool:
    said = f"{exc.param or ''} {exc.message}".lower()
    return any(word in said for word in ("response_format", "json_schema", "json_object", "schema", "structured"))

"""Embeddings by OpenAI, or by any server that speaks its protocol."""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from openai import APIStatusError, AsyncOpenAI, OpenAIError, omit

from rtrag.adapters.openai.errors import mapped, refused
from rtrag.domain.chunk import Vector
from rtrag.domain.errors import ConfigurationError, TerminalError, TransientError
from rtrag.ports.embedding import InputType

_OWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_BYTES_PER_TOKEN = 3  # English has more than four, Chinese three, code about three


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """How much one request may hold. The defaults are OpenAI's, with a margin for the estimate of tokens."""

    inputs: int = 2048
    tokens: int = 250_000


class OpenAIEmbedder:
    """Embeds by requests to ``client``, one after the other; the client's own retries should be off.

    Texts are packed into requests by count and estimated tokens. A request that is refused is halved until it
    passes or the text at fault stands alone: that is the TerminalError. Nothing is ever cut off.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        *,
        model: str,
        dimensions: int | None = None,
        limits: RequestLimits = RequestLimits(),
    ) -> None:
        """``dimensions`` None stands for the model's own. Raises ConfigurationError where those are not known."""
        own = _OWN_DIMENSIONS.get(model)
        chosen = dimensions or own
        if chosen is None:
            raise ConfigurationError(
                f"The length of the vectors of embedding model {model!r} is not known.",
                fix="set RTRAG_EMBEDDER__DIMENSIONS to the length that the model's documentation gives.",
            )
        self._client = client
        self._model = model
        self._dimensions = chosen
        # Only models that can shorten their vectors take the parameter; servers refuse it for others.
        self._shortened = own is not None and chosen != own
        self._limits = limits
        self._address = f"{client.base_url.host}:{client.base_url.port or client.base_url.scheme}"

    @property
    def model_id(self) -> str:
        return f"openai-{self._model}-{self._dimensions}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed(self, texts: Sequence[str], *, input_type: InputType) -> Sequence[Vector]:
        """See ``rtrag.ports.embedding.Embedder``. An empty text is embedded as a space, which the servers accept."""
        del input_type  # these models have one space for both
        vectors: list[Vector] = []
        for batch in self._batches([text.encode("utf-8", "replace").decode() or " " for text in texts]):
            vectors.extend(await self._embed_batch(batch))
        return vectors

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        tokens = 0
        for text in texts:
            estimate = math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)
            if batch and (len(batch) == self._limits.inputs or tokens + estimate > self._limits.tokens):
                yield batch
                batch, tokens = [], 0
            batch.append(text)
            tokens += estimate
        if batch:
            yield batch

    async def _embed_batch(self, texts: Sequence[str]) -> list[Vector]:
        try:
            return await self._request(texts)
        except APIStatusError as exc:
            if not refused(exc):
                raise mapped(exc, model=self._model, address=self._address) from exc
            if len(texts) == 1:
                raise TerminalError(
                    f"Model {self._model!r} at {self._address} refuses a text of {len(texts[0])} characters that "
                    f"begins with {texts[0][:60]!r}: {exc.message}"
                ) from exc
        except OpenAIError as exc:
            raise mapped(exc, model=self._model, address=self._address) from exc
        middle = len(texts) // 2
        return [*await self._embed_batch(texts[:middle]), *await self._embed_batch(texts[middle:])]

    async def _request(self, texts: Sequence[str]) -> list[Vector]:
        try:
            response = await self._client.embeddings.create(
                model=self._model, input=list(texts), dimensions=self._dimensions if self._shortened else omit
            )
            found = {item.index: item.embedding for item in response.data}
        except (ValueError, AttributeError) as exc:  # what the client makes of an answer in another form
            raise TransientError(f"{self._address} does not answer as OpenAI's API does: {exc}.") from exc
        if sorted(found) != list(range(len(texts))):
            raise TransientError(f"{self._address} returned {len(found)} vectors for {len(texts)} texts.")
        return [self._checked(found[index]) for index in range(len(texts))]

    def _checked(self, values: Sequence[float]) -> Vector:
        if len(values) != self._dimensions:
            raise ConfigurationError(
                f"Model {self._model!r} at {self._address} returns vectors of length {len(values)}, "
                f"not {self._dimensions}.",
                fix=f"set RTRAG_EMBEDDER__DIMENSIONS to {len(values)}.",
            )
        if not all(map(math.isfinite, values)):
            raise TransientError(f"{self._address} returned a vector that is not finite.")
        return array("f", values)

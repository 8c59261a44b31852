"""An embedder for tests: no model, vectors that differ by text, failures by script."""

import hashlib
import struct
from array import array
from collections import Counter
from collections.abc import Callable, Sequence

from rtrag.domain.chunk import Vector
from rtrag.domain.errors import RtragError, TerminalError
from rtrag.ports.embedding import InputType


class HashEmbedder:
    """Unit vectors made of a hash of the text and the model id.

    Attributes:
        texts: every text it was given to embed as a document, in order, failed calls included.
        queries: every text it was given to embed as a query.
        calls: number of calls of ``embed``.
    """

    def __init__(self, *, dimensions: int = 32, model_id: str = "hash/1") -> None:
        self._dimensions = dimensions
        self._model_id = model_id
        self._failures: list[RtragError] = []
        self._refuse: Callable[[str], bool] = lambda _: False
        self.texts: list[str] = []
        self.queries: list[str] = []
        self.calls = 0

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def counts(self) -> Counter[str]:
        """How often each text was given as a document."""
        return Counter(self.texts)

    @property
    def characters(self) -> int:
        """Characters given as documents so far."""
        return sum(map(len, self.texts))

    def fail_next(self, *errors: RtragError) -> None:
        """The next calls raise these errors, one a call."""
        self._failures.extend(errors)

    def refuse(self, unwanted: Callable[[str], bool]) -> None:
        """From now on every call that holds such a text raises TerminalError, as a provider refuses a batch."""
        self._refuse = unwanted

    async def embed(self, texts: Sequence[str], *, input_type: InputType) -> Sequence[Vector]:
        """See ``rtrag.ports.embedding.Embedder``."""
        self.calls += 1
        (self.queries if input_type == "query" else self.texts).extend(texts)
        if self._failures:
            raise self._failures.pop(0)
        refused = next((text for text in texts if self._refuse(text)), None)
        if refused is not None:
            raise TerminalError(f"the text {refused[:40]!r} cannot be embedded")
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> Vector:
        """The vector that a text always gets."""
        seed = f"{self._model_id}\0{text}".encode("utf-8", "surrogatepass")
        raw = hashlib.shake_256(seed).digest(4 * self._dimensions)
        values = [number / 2**31 - 1.0 for number in struct.unpack(f"<{self._dimensions}I", raw)]
        length = sum(value * value for value in values) ** 0.5
        return array("f", [value / length for value in values])

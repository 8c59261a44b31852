"""Turning texts into vectors."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from rtrag.domain.chunk import Vector

InputType: TypeAlias = Literal["document", "query"]


class Embedder(Protocol):
    """A model that embeds texts. Equal texts give equal vectors."""

    @property
    def model_id(self) -> str:
        """Names the model and everything that changes its vectors; part of every fingerprint."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of every vector."""
        ...

    async def embed(self, texts: Sequence[str], *, input_type: InputType) -> Sequence[Vector]:
        """One vector a text, in order; finite, not necessarily of unit length.

        Raises TransientError (try again), TerminalError (these texts can never be embedded; with one text the
        error is that text's) or ConfigurationError (key, model or address are wrong).
        """
        ...

"""Writing documents through our own API, where the configuration allows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rtrag.domain.document import DocumentKey, Json, StoredDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A committed write. ``lsn`` was taken in the transaction, after the row lock and before the change: above
    every earlier change of the row, below this one.
    """

    document: StoredDocument | None
    key: DocumentKey
    lsn: int


class DocumentStore(Protocol):
    """The rows of one writable table. All methods raise TransientError when the server is away."""

    async def get(self, key: DocumentKey) -> StoredDocument:
        """The row. Raises NotFoundError."""
        ...

    async def list(self, *, limit: int, offset: int, search: str | None = None) -> tuple[Sequence[StoredDocument], int]:
        """A page in key order, and how many there are in all. Raises TooSlowError if finding them takes too long."""
        ...

    async def create(self, document_id: str | None, title: str, content: str, metadata: Mapping[str, Json]) -> Written:
        """Insert; a missing id is made. Raises ConflictError if the id is taken, InvalidRequestError."""
        ...

    async def update(
        self,
        key: DocumentKey,
        *,
        title: str | None = None,
        content: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        expected_version: int | None = None,
    ) -> Written:
        """Change what is given. Raises NotFoundError, ConflictError if the version is not the expected one."""
        ...

    async def delete(self, key: DocumentKey, *, expected_version: int | None = None) -> Written:
        """Delete. Raises NotFoundError, ConflictError."""
        ...

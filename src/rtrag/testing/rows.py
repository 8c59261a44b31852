"""A table in a dictionary, read as a RowReader reads."""

from collections.abc import Sequence

from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.ports.changes import RowRead


class ListRows:
    """Port RowReader over ``rows``; ``lsn`` is what every read reports, ``reads`` the keys asked for."""

    def __init__(self) -> None:
        self.rows: dict[DocumentKey, DocumentDraft] = {}
        self.lsn = 0
        self.reads: list[DocumentKey] = []

    async def read(self, keys: Sequence[DocumentKey]) -> RowRead:
        """The rows of these keys."""
        self.reads += keys
        return self._read([self.rows[key] for key in keys if key in self.rows])

    async def page(self, table: str, after: DocumentKey | None, size: int) -> RowRead:
        """The next rows of a table in key order."""
        keys = sorted(key for key in self.rows if key.table == table and (after is None or key > after))
        return self._read([self.rows[key] for key in keys[:size]])

    def _read(self, rows: Sequence[DocumentDraft]) -> RowRead:
        return RowRead(
            lsn=self.lsn,
            xmin=0,
            xmax=2**62,
            in_progress=frozenset(),
            rows=tuple(rows),
            last=rows[-1].key if rows else None,
        )

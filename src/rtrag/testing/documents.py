"""Documents in memory, for tests of the entry points."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from rtrag.application.answer import find_collection
from rtrag.application.services import Collection, DocumentWritten
from rtrag.domain.document import DocumentKey, Json, StoredDocument
from rtrag.domain.errors import ConflictError, NotFoundError, ReadOnlyCollectionError
from rtrag.domain.freshness import FreshnessToken
from rtrag.testing.state import FakeState, now


class FakeDocuments:
    """Rows in memory, with a single text column as their key."""

    def __init__(self, state: FakeState, collections: Mapping[str, Collection]) -> None:
        self._state = state
        self._collections = collections

    async def get(self, collection: str | None, document_id: str) -> StoredDocument:
        self._state.check()
        return self._row(self._table(collection), document_id)

    async def list(
        self, collection: str | None, *, limit: int, offset: int, search: str | None
    ) -> tuple[Sequence[StoredDocument], int]:
        self._state.check()
        table = self._table(collection)
        found = [
            row
            for key, row in sorted(self._state.rows.items())
            if key.table == table and (search or "").lower() in f"{row.title}\n{row.content}".lower()
        ]
        return found[offset : offset + limit], len(found)

    async def create(
        self, collection: str | None, document_id: str | None, title: str, content: str, metadata: Mapping[str, Json]
    ) -> DocumentWritten:
        self._state.check()
        table = self._writable(collection)
        key = DocumentKey(table, (document_id or f"made-{len(self._state.rows) + 1}",))
        if key in self._state.rows:
            raise ConflictError(f"There is a document {key.id!r} already; change it, or choose another id.")
        return self._put(key, title, content, metadata, 1)

    async def update(
        self,
        collection: str | None,
        document_id: str,
        *,
        title: str | None,
        content: str | None,
        metadata: Mapping[str, Json] | None,
        expected_version: int | None,
    ) -> DocumentWritten:
        self._state.check()
        row = self._expected(self._writable(collection), document_id, expected_version)
        return self._put(
            row.key,
            row.title if title is None else title,
            row.content if content is None else content,
            row.metadata if metadata is None else metadata,
            (row.version or 0) + 1,
        )

    async def delete(
        self, collection: str | None, document_id: str, *, expected_version: int | None
    ) -> DocumentWritten:
        self._state.check()
        row = self._expected(self._writable(collection), document_id, expected_version)
        del self._state.rows[row.key]
        token = FreshnessToken(lsn=self._state.commit(), key=row.key)
        return DocumentWritten(key=row.key, document=None, token=token)

    def _put(
        self, key: DocumentKey, title: str, content: str, metadata: Mapping[str, Json], version: int
    ) -> DocumentWritten:
        before = self._state.rows.get(key)
        row = StoredDocument(
            key=key,
            title=title,
            content=content,
            metadata=dict(metadata),
            version=version,
            created_at=before.created_at if before else now(),
            updated_at=now(),
        )
        self._state.rows[key] = row
        return DocumentWritten(key=key, document=row, token=FreshnessToken(lsn=self._state.commit(), key=key))

    def _table(self, collection: str | None) -> str:
        return find_collection(self._collections, collection).tables[0].table

    def _writable(self, collection: str | None) -> str:
        found = find_collection(self._collections, collection)
        if not found.writable:
            raise ReadOnlyCollectionError
        return found.tables[0].table

    def _row(self, table: str, document_id: str) -> StoredDocument:
        row = self._state.rows.get(DocumentKey(table, (unquote(document_id),)))
        if row is None:
            raise NotFoundError(f"There is no document {document_id!r} in {table}.")
        return row

    def _expected(self, table: str, document_id: str, version: int | None) -> StoredDocument:
        row = self._row(table, document_id)
        if version is not None and version != row.version:
            raise ConflictError(f"Document {document_id!r} has version {row.version}, not {version}; read it again.")
        return row

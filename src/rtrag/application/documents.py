"""Reading and writing documents: rows where a store is at hand, the index elsewhere."""

from collections.abc import Mapping, Sequence

from rtrag.application.answer import find_collection
from rtrag.application.services import Collection, DocumentWritten
from rtrag.domain.document import DocumentKey, Json, StoredDocument
from rtrag.domain.errors import InvalidRequestError, NotFoundError, ReadOnlyCollectionError
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.manifest import Manifest
from rtrag.ports.documents import DocumentStore, Written
from rtrag.ports.index import Index


class DocumentService:
    """Implements ``services.Documents``. ``stores`` are those of the writable collections, by name."""

    def __init__(
        self, collections: Mapping[str, Collection], stores: Mapping[str, DocumentStore], index: Index
    ) -> None:
        self._collections = collections
        self._stores = stores
        self._index = index

    async def get(self, collection: str | None, document_id: str) -> StoredDocument:
        """The row of a writable collection, else the document as it is indexed."""
        chosen = find_collection(self._collections, collection)
        store = self._stores.get(chosen.name)
        if store is not None:
            return await store.get(_key(chosen, document_id))
        keys = [DocumentKey.parse(f"{table.table}/{document_id}") for table in chosen.tables]
        records = await self._index.records(keys, tuple(key.table for key in keys))
        for key in keys:
            manifest = records.manifests.get(key)
            floor = records.tables[key.table].floor
            if manifest is not None and not manifest.deleted and (floor is None or manifest.position > floor):
                points = await self._index.chunks(manifest.chunk_ids)
                texts = [points[chunk_id].text for chunk_id in manifest.chunk_ids if chunk_id in points]
                return _stored(manifest, "".join(texts))
        raise NotFoundError(f"There is no document {document_id!r} in collection {chosen.name!r}.")

    async def list(
        self, collection: str | None, *, limit: int, offset: int, search: str | None
    ) -> tuple[Sequence[StoredDocument], int]:
        """A page in key order, and how many there are in all; contents are empty where no store is at hand."""
        chosen = find_collection(self._collections, collection)
        store = self._stores.get(chosen.name)
        if store is not None:
            return await store.list(limit=limit, offset=offset, search=search)
        found: list[StoredDocument] = []
        for table in chosen.tables:
            floor = (await self._index.records((), (table.table,))).tables[table.table].floor
            async for page in self._index.manifests(table.table):
                found += [
                    _stored(manifest, "")
                    for manifest in page
                    if not manifest.deleted
                    and (floor is None or manifest.position > floor)
                    and (not search or search.lower() in f"{manifest.key.id}\n{manifest.title}".lower())
                ]
        found.sort(key=lambda document: document.key)
        return found[offset : offset + limit], len(found)

    async def create(
        self, collection: str | None, document_id: str | None, title: str, content: str, metadata: Mapping[str, Json]
    ) -> DocumentWritten:
        """Insert a document."""
        chosen, store = self._writable(collection)
        if document_id is not None:
            _key(chosen, document_id)
        return _written(await store.create(document_id, title, content, metadata))

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
        """Change what is given."""
        chosen, store = self._writable(collection)
        written = await store.update(
            _key(chosen, document_id),
            title=title,
            content=content,
            metadata=metadata,
            expected_version=expected_version,
        )
        return _written(written)

    async def delete(
        self, collection: str | None, document_id: str, *, expected_version: int | None
    ) -> DocumentWritten:
        """Delete a document."""
        chosen, store = self._writable(collection)
        return _written(await store.delete(_key(chosen, document_id), expected_version=expected_version))

    def _writable(self, collection: str | None) -> tuple[Collection, DocumentStore]:
        chosen = find_collection(self._collections, collection)
        store = self._stores.get(chosen.name)
        if store is None:
            raise ReadOnlyCollectionError(
                f"Collection {chosen.name!r} is not declared writable. Change its rows in PostgreSQL; the index "
                "follows. To write through this API, set `writable = true` for its table in the configuration."
            )
        return chosen, store


def _key(collection: Collection, document_id: str) -> DocumentKey:
    try:
        return DocumentKey.parse(f"{collection.tables[0].table}/{document_id}")
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error


def _written(written: Written) -> DocumentWritten:
    token = FreshnessToken(lsn=written.lsn, key=written.key)
    return DocumentWritten(key=written.key, document=written.document, token=token)


def _stored(manifest: Manifest, content: str) -> StoredDocument:
    return StoredDocument(
        key=manifest.key,
        title=manifest.title,
        content=content,
        metadata={**manifest.headers, **manifest.metadata},
        version=manifest.version,
        created_at=None,
        updated_at=manifest.commit_time,
    )

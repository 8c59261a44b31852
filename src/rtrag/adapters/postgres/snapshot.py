"""Reading the tables as they stood when the slot was made."""

from collections.abc import AsyncIterator, Mapping, Sequence

from rtrag.adapters.postgres.catalog import TypeCatalog
from rtrag.adapters.postgres.connection import Connection, connect, mapped
from rtrag.adapters.postgres.layout import RowError
from rtrag.adapters.postgres.query import PageQuery, TableShape, estimate, fetch
from rtrag.domain.change import DocumentChange, Unprocessable, Upsert
from rtrag.domain.position import Position

_NO_TIMEOUTS = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout", "transaction_timeout")


class PostgresSnapshotReader:
    """The SnapshotReader of an exported snapshot: one transaction, open until ``close``.

    Each page is one query by key, so reading may take as long as it likes and only the page is in memory. While it is
    open, the server cannot clean up, and a TRUNCATE or ALTER of a table that was read waits: it closes by itself
    once the last table has been read to its end.
    """

    def __init__(
        self, connection: Connection, catalog: TypeCatalog, tables: Mapping[str, TableShape], epoch: int
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._tables = tables
        self._epoch = epoch
        self._unread = set(tables)

    @classmethod
    async def begin(
        cls, url: str, snapshot: str, catalog: TypeCatalog, tables: Mapping[str, TableShape], epoch: int
    ) -> "PostgresSnapshotReader":
        """Import a snapshot while the connection that exported it still stands idle."""
        connection = await connect(url)
        try:
            with mapped("importing the snapshot of the new slot"):
                for name in _NO_TIMEOUTS:
                    query = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = $1"
                    await connection.execute(query.encode(), (name,))
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'".encode())
        except BaseException:
            await connection.close()
            raise
        return cls(connection, catalog, tables, epoch)

    async def pages(self, table: str, size: int) -> AsyncIterator[Sequence[DocumentChange]]:
        """See SnapshotReader."""
        query = PageQuery(self._tables[table], size)
        after: Sequence[bytes] | None = None
        position = Position.copied(self._epoch)
        while True:
            layout, found = await fetch(self._connection, self._catalog, query.at(after), query.shape)
            page: list[DocumentChange] = []
            for row in found:
                row_size = sum(len(value) for value in row if value is not None)
                try:
                    draft = layout.draft(row)
                except RowError as exc:
                    page.append(
                        Unprocessable(
                            position=position,
                            key=layout.any_key(row),
                            cause=str(exc),
                            payload=layout.payload(row),
                            size=row_size,
                        )
                    )
                    continue
                if draft is not None:
                    page.append(Upsert(position=position, draft=draft, size=row_size))
            if page:
                yield page
            if len(found) < size:
                break
            after = query.key_bytes(layout, found[-1])
        self._unread.discard(table)
        if not self._unread:
            await self.close()

    async def estimate(self, table: str) -> int:
        """See SnapshotReader."""
        return await estimate(self._connection, self._tables[table])

    async def close(self) -> None:
        """End the transaction and let the server clean up."""
        await self._connection.close()

"""Reading rows as they are now, with the position and the snapshot that they were read under."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Self

from psycopg.pq import TransactionStatus

from rtrag.adapters.postgres.catalog import TypeCatalog
from rtrag.adapters.postgres.connection import Connection, Reconnecting, mapped, rows
from rtrag.adapters.postgres.layout import Layout, RowError
from rtrag.adapters.postgres.query import PageQuery, RawRow, TableShape, fetch, keys_query
from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.position import parse_lsn
from rtrag.ports.changes import RowRead

_LSN = "SELECT pg_current_wal_insert_lsn()::text"
_SNAPSHOT = "SELECT pg_current_snapshot()::text"


@dataclass(slots=True)
class _Found:
    drafts: list[DocumentDraft] = field(default_factory=list)
    rejected: dict[DocumentKey, str] = field(default_factory=dict)
    last: DocumentKey | None = None

    def add(self, layout: Layout, raw: Sequence[RawRow]) -> None:
        for row in raw:
            try:
                draft = layout.draft(row)
            except RowError as exc:
                self.last = layout.any_key(row)
                self.rejected[self.last] = str(exc)
                continue
            if draft is not None:
                self.last = draft.key
                self.drafts.append(draft)


class PostgresRowReader:
    """The RowReader of the mapped tables.

    The LSN is read before the snapshot is taken: what committed at or before it is in the snapshot, but for
    transactions that were in the log and still in progress, which the snapshot itself names.
    """

    def __init__(self, connection: Reconnecting, catalog: TypeCatalog, tables: Mapping[str, TableShape]) -> None:
        self._connection = connection
        self._catalog = catalog
        self._tables = tables
        self._lock = asyncio.Lock()

    async def read(self, keys: Sequence[DocumentKey]) -> RowRead:
        """See RowReader."""
        found = _Found()
        async with self._lock, _Snapshot(await self._connection.get()) as snapshot:
            for table, group in groupby(sorted(set(keys)), key=lambda key: key.table):
                shape = self._shape(table)
                statement = keys_query(shape, [key.values for key in group])
                found.add(*await fetch(snapshot.connection, self._catalog, statement, shape))
        return snapshot.read(found)

    async def page(self, table: str, after: DocumentKey | None, size: int) -> RowRead:
        """See RowReader. Fewer than ``size`` rows, rejected ones counted, means the end of the table."""
        query = PageQuery(self._shape(table), size)
        start: Sequence[bytes] | None = None
        if after is not None:
            start = [value.encode("utf-8", "surrogateescape") for value in after.values]
        found = _Found()
        async with self._lock, _Snapshot(await self._connection.get()) as snapshot:
            while True:
                layout, raw = await fetch(snapshot.connection, self._catalog, query.at(start), query.shape)
                room = size - len(found.drafts) - len(found.rejected)
                found.add(layout, raw[:room])
                if len(raw) < size or len(found.drafts) + len(found.rejected) >= size:
                    return snapshot.read(found)
                start = query.key_bytes(layout, raw[room - 1] if room < len(raw) else raw[-1])

    async def close(self) -> None:
        await self._connection.close()

    def _shape(self, table: str) -> TableShape:
        try:
            return self._tables[table]
        except KeyError:
            raise ConfigurationError(
                f"Table {table} is not configured.", fix="add it to the configuration, or correct the key"
            ) from None


class _Snapshot:
    """A read-only transaction: position first, then one snapshot for everything."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lsn = 0
        self._bounds = ""

    async def __aenter__(self) -> Self:
        doing = "beginning a read"
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            with mapped(doing):
                await self.connection.execute("ROLLBACK")  # a read was cancelled: its snapshot is too old
        self._lsn = parse_lsn((await rows(self.connection, _LSN, doing=doing))[0][0])
        with mapped(doing):
            await self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._bounds = (await rows(self.connection, _SNAPSHOT, doing=doing))[0][0]
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.connection.closed:
            with mapped("ending a read"):
                await self.connection.execute("ROLLBACK")

    def read(self, found: _Found) -> RowRead:
        xmin, xmax, in_progress = self._bounds.split(":")
        return RowRead(
            lsn=self._lsn,
            xmin=int(xmin),
            xmax=int(xmax),
            in_progress=frozenset(int(xid) for xid in in_progress.split(",") if xid),
            rows=tuple(found.drafts),
            rejected=found.rejected,
            last=found.last,
        )

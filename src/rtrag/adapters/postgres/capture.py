"""Direct change capture, joined: checks, publication, slot, decision, stream, copy and reads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace

from rtrag.adapters.postgres.catalog import TypeCatalog
from rtrag.adapters.postgres.connection import Connection, Reconnecting, connected
from rtrag.adapters.postgres.opening import Copy, Found, Resume, decide_opening
from rtrag.adapters.postgres.publication import WantedTable, ensure_publication, gaps, publication
from rtrag.adapters.postgres.replication import ReplicationConnection
from rtrag.adapters.postgres.replication_stream import StreamTimes
from rtrag.adapters.postgres.rows import PostgresRowReader
from rtrag.adapters.postgres.server_check import check_server
from rtrag.adapters.postgres.slot import SlotHealth, drop_slot, slot_health, wait_until_free
from rtrag.adapters.postgres.snapshot import PostgresSnapshotReader
from rtrag.adapters.postgres.source import PostgresChangeSource
from rtrag.adapters.postgres.table_check import CheckedTable, check_tables
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.domain.manifest import SourceState
from rtrag.domain.mapping import TableMapping
from rtrag.ports.changes import SourceOpening

LARGEST_VALUE = 64_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """What to capture and under which names.

    Attributes:
        name: the name under which the source's state is recorded.
        column_lists: publish the mapped columns alone (PostgreSQL 15 and newer). A column in a list cannot be
            dropped without CASCADE, and giving the table REPLICA IDENTITY FULL later needs the list gone first.
        slot_patience: seconds to wait for another reader of the slot to let go of it.
        largest_value: bytes of a column value above which the row cannot be processed, and which keep it from being
            copied and decoded: PostgreSQL allows a gigabyte.
    """

    url: str
    mappings: tuple[TableMapping, ...]
    name: str = "postgres"
    slot: str = "rtrag"
    publication: str = "rtrag"
    column_lists: bool = True
    slot_patience: float = 5.0
    largest_value: int = LARGEST_VALUE
    times: StreamTimes = field(default_factory=StreamTimes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the index knows: where capture stood, and the last epoch copied for each table."""

    state: SourceState | None
    copied: Mapping[str, int]
    identity: ChunkingIdentity


class PostgresCapture:
    """An open capture. ``snapshot`` is there when ``opening.copy`` says so."""

    def __init__(
        self,
        *,
        opening: SourceOpening,
        source: PostgresChangeSource,
        snapshot: PostgresSnapshotReader | None,
        rows: PostgresRowReader,
        mappings: tuple[TableMapping, ...],
        watch: "_Watch",
    ) -> None:
        self.opening = opening
        self.source = source
        self.snapshot = snapshot
        self.rows = self.rows_apart = rows
        self.mappings = mappings
        self._watch = watch

    @property
    def broken_tables(self) -> Mapping[str, str]:
        """See Capture."""
        return self.source.broken_tables

    @property
    def trouble(self) -> str | None:
        """See Capture: a stream that breaks off raises."""
        return None

    async def slot_health(self) -> Mapping[str, int | str | None]:
        """See Capture; the fields are those of SlotHealth.

        Also looks whether the publication still carries every table: what it lost shows in ``broken_tables``.
        """
        health, drifted = await self._watch.look()
        self.source.report_drift(drifted)
        return asdict(health)


@dataclass(frozen=True, slots=True)
class _Watch:
    connection: Reconnecting
    slot: str
    publication: str
    wanted: tuple[WantedTable, ...]

    async def look(self) -> tuple[SlotHealth, Mapping[str, str]]:
        connection = await self.connection.get()
        health = await slot_health(connection, self.slot)
        found = gaps(await publication(connection, self.publication), self.wanted)
        drifted = {
            table: f"publication {self.publication!r} no longer carries it: {reason}. Start again to mend it"
            for table, reason in found.items()
        }
        return health, drifted


@dataclass(frozen=True, slots=True)
class _Start:
    lsn: int
    snapshot: str | None


@asynccontextmanager
async def open_postgres_capture(settings: CaptureSettings, recorded: Recorded) -> AsyncIterator[PostgresCapture]:
    """Open capture: resume the stream, or make a new slot with a snapshot to copy from.

    Raises ConfigurationError where a person has to act, TransientError where trying again may do.
    """
    async with AsyncExitStack() as stack:
        async with connected(settings.url) as admin:
            checked, unpublished = await _prepare(admin, settings)
            replication = await ReplicationConnection.open(settings.url, settings.times)
            stack.push_async_callback(replication.close)
            found = await _look(admin, replication, settings, recorded, unpublished)
            decision = decide_opening(found)
            start = await _start_point(admin, replication, found, decision)
        yield await _join(stack, settings, recorded, _Opened(checked, replication, found, decision, start))


@dataclass(frozen=True, slots=True)
class _Opened:
    checked: tuple[CheckedTable, ...]
    replication: ReplicationConnection
    found: Found
    decision: Resume | Copy
    start: _Start


async def _prepare(admin: Connection, settings: CaptureSettings) -> tuple[tuple[CheckedTable, ...], Mapping[str, str]]:
    await check_server(admin, settings.slot)
    checked = await check_tables(admin, settings.mappings, column_lists=settings.column_lists)
    return checked, await ensure_publication(admin, settings.publication, [table.wanted for table in checked])


async def _look(
    admin: Connection,
    replication: ReplicationConnection,
    settings: CaptureSettings,
    recorded: Recorded,
    unpublished: Mapping[str, str],
) -> Found:
    return Found(
        recorded=recorded.state,
        copied=recorded.copied,
        tables=[mapping.table for mapping in settings.mappings],
        unpublished=unpublished,
        server=await replication.identify(),
        slot_name=settings.slot,
        slot=await wait_until_free(admin, settings.slot, settings.slot_patience),
    )


async def _start_point(
    admin: Connection, replication: ReplicationConnection, found: Found, decision: Resume | Copy
) -> _Start:
    slot = found.slot
    if isinstance(decision, Resume):
        if slot is not None and slot.active_pid is not None:
            raise ServiceUnavailableError(
                f"Replication slot {slot.name!r} is in use by {slot.user or 'somebody'}: another instance runs, or the "
                "server has not noticed yet that it is gone. It will be tried again; to end it at once: "
                f"SELECT pg_terminate_backend({slot.active_pid});"
            )
        return _Start(decision.lsn, None)
    if slot is not None:
        await drop_slot(admin, slot)
    created = await replication.create_slot(found.slot_name)
    return _Start(created.consistent_point, created.snapshot)


async def _join(
    stack: AsyncExitStack, settings: CaptureSettings, recorded: Recorded, opened: _Opened
) -> PostgresCapture:
    shared = Reconnecting(settings.url, {"synchronous_commit": "local"})
    reads = Reconnecting(settings.url)
    stack.push_async_callback(shared.close)
    stack.push_async_callback(reads.close)
    catalog = TypeCatalog(shared)
    epoch, start = opened.decision.epoch, opened.start
    largest = settings.largest_value
    shapes = {table.wanted.table: replace(table.shape, largest_value=largest) for table in opened.checked}
    mappings = tuple(shape.mapping for shape in shapes.values())
    snapshot = None
    if start.snapshot is not None:  # imported before the stream starts: that ends the export
        snapshot = await PostgresSnapshotReader.begin(settings.url, start.snapshot, catalog, shapes, epoch)
        stack.push_async_callback(snapshot.close)
    stream = await opened.replication.start(settings.slot, settings.publication, start.lsn)
    return PostgresCapture(
        opening=_opening(settings, recorded, opened),
        source=PostgresChangeSource(stream, shared, catalog, mappings, epoch, largest),
        snapshot=snapshot,
        rows=PostgresRowReader(reads, catalog, shapes),
        mappings=mappings,
        watch=_Watch(shared, settings.slot, settings.publication, tuple(table.wanted for table in opened.checked)),
    )


def _opening(settings: CaptureSettings, recorded: Recorded, opened: _Opened) -> SourceOpening:
    decision, server = opened.decision, opened.found.server
    state = SourceState(
        name=settings.name,
        system_identifier=server.system_identifier,
        timeline=server.timeline,
        slot=settings.slot,
        epoch=decision.epoch,
        durable_lsn=opened.start.lsn,
        identity=recorded.identity,
    )
    if isinstance(decision, Copy):
        return SourceOpening(state=state, copy=True, reason=decision.reason, lost=decision.lost)
    return SourceOpening(state=state, copy=False, reason=None)

"""One micro-batch of document changes: the index protocol, steps 1 to 4 (docs/architecture.md).

Correct with any number of workers holding the same documents: every write is guarded, and what another worker
or a TRUNCATE did meanwhile is found by reading back. The protocol is model-checked in tests/protocol.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rtrag.application.completion import Completed, DraftCompletion
from rtrag.application.totals import Totals
from rtrag.application.vectors import VectorSupply
from rtrag.domain.change import Delete, DocumentChange, Unprocessable, Upsert
from rtrag.domain.chunk import Vector
from rtrag.domain.coalesce import Coalesced, coalesce
from rtrag.domain.composition import Composer
from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.domain.errors import TerminalError, TransientError
from rtrag.domain.manifest import Manifest, Operation, SweepChunks, SwitchManifest, TableState, UpsertChunks
from rtrag.domain.plan import Plan, is_obsolete, plan_delete, plan_upsert
from rtrag.domain.position import Position
from rtrag.ports.changes import RowReader
from rtrag.ports.dead_letters import DeadLetter, DeadLetters
from rtrag.ports.index import Index, Records

MAX_ROUNDS = 50  # another worker can win a document only as often as it has newer changes of it


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOutcome:
    """What became of a batch: documents now visible at their positions, and those kept as dead letters."""

    visible: Mapping[DocumentKey, Position]
    failed: tuple[DeadLetter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    coalesced: Coalesced
    plan: Plan
    updates: bool


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What goes with a batch through its rounds."""

    rows: RowReader
    rewrite: bool
    visible: dict[DocumentKey, Position] = field(default_factory=dict)
    failed: list[DeadLetter] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A batch that is planned and embedded, and not written yet."""

    planned: Sequence[_Planned]
    vectors: Mapping[str, Vector]
    batch: _Batch


class Indexer:
    """Applies document changes to the index."""

    def __init__(
        self,
        *,
        index: Index,
        vectors: VectorSupply,
        composer: Composer,
        dead_letters: DeadLetters,
        totals: Totals,
    ) -> None:
        self._index = index
        self._vectors = vectors
        self._composer = composer
        self._letters = dead_letters
        self._totals = totals
        self._completion = DraftCompletion(index, totals)

    async def apply(self, changes: Sequence[DocumentChange], rows: RowReader, *, rewrite: bool = False) -> IndexOutcome:
        """Make these changes visible, or keep a dead letter of those that cannot be processed.

        With ``rewrite`` every chunk is written again, even those that the manifest lists already (repair).
        Raises TransientError when a dependency is away: nothing is lost, apply the same changes again.
        """
        return await self.finish(await self.prepare(changes, rows, rewrite=rewrite))

    async def prepare(self, changes: Sequence[DocumentChange], rows: RowReader, *, rewrite: bool = False) -> Prepared:
        """The first half of ``apply``: steps 1 and 2. It writes nothing, so others may write before ``finish``."""
        return await self._prepare(coalesce(changes), _Batch(rows=rows, rewrite=rewrite))

    async def finish(self, prepared: Prepared) -> IndexOutcome:
        """The second half of ``apply``: steps 3 and 4, and the whole again for documents that others have changed."""
        batch = prepared.batch
        for _ in range(MAX_ROUNDS):
            pending = await self._write(prepared)
            if not pending:
                letters = frozenset(letter.key for letter in batch.failed)
                visible = {key: position for key, position in batch.visible.items() if key not in letters}
                return IndexOutcome(visible=visible, failed=tuple(batch.failed))
            prepared = await self._prepare(pending, batch)
        raise TransientError(f"{len(pending)} documents keep changing under this worker, first {pending[0].key}")

    async def _prepare(self, pending: Sequence[Coalesced], batch: _Batch) -> Prepared:
        failed, rewrite = batch.failed, batch.rewrite
        # 1. Read what stands, drop what comes too late, fill in what capture could not send.
        keys = dict.fromkeys(key for item in pending for key in (item.key, item.base))
        records = await self._index.records(tuple(keys), tuple({item.key.table for item in pending}))
        live = [item for item in pending if not _obsolete(item, records)]
        self._totals.add("obsolete", len(pending) - len(live))
        open_letters = await self._letters.open_keys([key for item in live for key in (item.key, item.base)])
        completed = await self._completion.complete(live, records, open_letters, batch.rows)
        batch.visible |= _reached(pending, live, records, completed)
        # 2. Plan, and embed only what is missing.
        planned = [
            planned
            for item in live
            if (planned := await self._planned(item, completed, records, failed, rewrite=rewrite)) is not None
        ]
        lenders = [
            manifest
            for item in planned
            for key in {item.coalesced.key, item.coalesced.base}
            if (manifest := records.manifests.get(key)) is not None
        ]
        supply = await self._vectors.supply([item.plan for item in planned], lenders)
        for item in planned:
            cause = supply.failures.get(item.plan.manifest.key)
            if cause is not None:
                failed.append(await self.give_up(item.coalesced.change, cause, attempts=1))
        planned = [item for item in planned if item.plan.manifest.key not in supply.failures]
        self._count(planned, supply.embedded)
        return Prepared(planned=planned, vectors=supply.vectors, batch=batch)

    async def _write(self, prepared: Prepared) -> Sequence[Coalesced]:
        planned = prepared.planned
        if not planned:
            return ()
        # 3. New chunks first, then the switches: now a query sees them.
        points = tuple(point for item in planned for point in item.plan.points(prepared.vectors))
        operations: list[Operation] = [UpsertChunks(points=points)] if points else []
        operations += [SwitchManifest(manifest=i.plan.manifest, replaces=i.plan.replaces) for i in planned]
        await self._index.write(operations)
        # 4. Read back: sweep, bury or begin again.
        return await self._settle(planned)

    async def _planned(
        self,
        item: Coalesced,
        completed: Completed,
        records: Records,
        failed: list[DeadLetter],
        *,
        rewrite: bool,
    ) -> _Planned | None:
        current = records.manifests.get(item.key)
        table = records.tables[item.key.table]
        match item.change:
            case Unprocessable(cause=cause):
                failed.append(await self.give_up(item.change, cause, attempts=1))
                return None
            case Delete(key=key, position=position, commit_time=commit_time):
                tombstone = Manifest(key=key, position=position, commit_time=commit_time, deleted=True)
                return _Planned(coalesced=item, plan=plan_delete(tombstone, current), updates=False)
            case Upsert() as change:
                draft = completed.drafts.get(item.key)
                if draft is None:
                    if item.key in completed.rejected:
                        failed.append(await self.give_up(change, completed.rejected[item.key], attempts=1))
                    return None  # else the row is gone: the stream brings its delete
                try:
                    plan = self._plan(change, draft, None if rewrite else current, table)
                except (TerminalError, ValueError) as error:
                    failed.append(await self.give_up(change, str(error), attempts=1))
                    return None
                if rewrite and current is not None:
                    plan = _rewriting(plan, current)
                updates = current is not None and not current.deleted
                return _Planned(coalesced=item, plan=plan, updates=updates)

    def _plan(self, change: Upsert, draft: DocumentDraft, current: Manifest | None, table: TableState) -> Plan:
        composed = self._composer.compose(draft)
        return plan_upsert(composed, change.position, change.commit_time, current, table.floor)

    async def _settle(self, planned: Sequence[_Planned]) -> Sequence[Coalesced]:
        keys = [item.plan.manifest.key for item in planned]
        after = await self._index.records(keys, tuple({key.table for key in keys}))
        again: list[Coalesced] = []
        sweeps: list[Operation] = []
        for item in planned:
            own = item.plan.manifest
            floor = after.tables[own.key.table].floor
            standing = after.manifests.get(own.key)
            if floor is not None and floor >= own.position:
                await self._bury(own, standing, floor)
            elif standing is not None and standing.position == own.position:
                if item.plan.dropped:
                    sweeps.append(SweepChunks(ids=item.plan.dropped, below=own.position))
            else:
                again.append(item.coalesced)
                if standing is not None and standing.position > own.position:
                    sweeps.append(_overtaken(item.plan, standing))
        if sweeps:
            await self._index.write(sweeps)
        return again

    async def _bury(self, own: Manifest, standing: Manifest | None, floor: Position) -> None:
        """A TRUNCATE has passed us: turn our manifest into a tombstone and sweep what it listed."""
        if standing is None or standing.position != own.position or standing.deleted:
            return
        await bury(self._index, [standing], floor)

    async def probe(self) -> None:
        """Find out whether the embedder works at all; raises EmbeddingUnavailableError if not."""
        await self._vectors.probe()

    async def give_up(self, change: DocumentChange, cause: str, *, attempts: int) -> DeadLetter:
        """Keep a dead letter of a change."""
        now = datetime.now(UTC)
        letter = DeadLetter(
            key=change.key,
            position=change.position,
            cause=cause,
            attempts=attempts,
            payload=_payload(change),
            first_failed=now,
            last_failed=now,
        )
        await self._letters.put(letter)
        self._totals.add("dead_letters")
        return letter

    def _count(self, planned: Iterable[_Planned], embedded: frozenset[str]) -> None:
        counted: set[str] = set()
        for item in planned:
            self._totals.add("documents")
            for chunk in item.plan.added:
                if chunk.fingerprint in embedded and chunk.fingerprint not in counted:
                    counted.add(chunk.fingerprint)
                    self._totals.add("embedded_chunks")
                    self._totals.add("embedded_characters", len(chunk.chunk.text))
                    if item.updates:
                        self._totals.add("embedded_characters_updates", len(chunk.chunk.text))


async def bury(index: Index, manifests: Sequence[Manifest], floor: Position) -> None:
    """Turn manifests at or below the floor into tombstones, each only if it still stands, and sweep their chunks."""
    switches: list[Operation] = [
        SwitchManifest(
            manifest=Manifest(key=m.key, position=floor, commit_time=m.commit_time, deleted=True), replaces=m.position
        )
        for m in manifests
    ]
    await index.write(switches)
    after = await index.records([m.key for m in manifests])
    above = Position(floor.epoch, floor.lsn, floor.ordinal + 1)
    buried = [m for m in manifests if _is_tombstone_at(after.manifests.get(m.key), floor)]
    sweeps: list[Operation] = [SweepChunks(ids=m.chunk_ids, below=above) for m in buried if m.chunk_ids]
    if sweeps:
        await index.write(sweeps)


def _overtaken(plan: Plan, standing: Manifest) -> SweepChunks:
    """What was written for a switch that a newer one has overtaken.

    No other worker can still switch to this version: the compare and swap fails for all who read before, and who
    reads now finds it obsolete. A newer version that has one of these chunks lists it, or writes it above us.
    """
    own, listed = plan.manifest.position, frozenset(standing.chunk_ids)
    stale = tuple(chunk.id for chunk in plan.added if chunk.id not in listed)
    return SweepChunks(ids=stale, below=Position(own.epoch, own.lsn, own.ordinal + 1))


def _reached(
    pending: Sequence[Coalesced], live: Sequence[Coalesced], records: Records, completed: Completed
) -> Mapping[DocumentKey, Position]:
    """Where each document stands once the batch is written; not those whose row is gone or cannot be mapped."""
    without = {i.key for i in live if isinstance(i.change, Upsert) and i.key not in completed.drafts}
    reached = {item.key: item.change.position for item in pending if item.key not in without}
    for key, position in reached.items():
        standing = records.manifests.get(key)
        if standing is not None and standing.position > position:
            reached[key] = standing.position
    return reached


def _is_tombstone_at(manifest: Manifest | None, position: Position) -> bool:
    return manifest is not None and manifest.deleted and manifest.position == position


def _obsolete(item: Coalesced, records: Records) -> bool:
    floor = records.tables[item.key.table].floor
    return is_obsolete(item.change.position, records.manifests.get(item.key), floor)


def _rewriting(plan: Plan, current: Manifest) -> Plan:
    kept = frozenset(plan.manifest.chunk_ids)
    return Plan(
        manifest=plan.manifest,
        replaces=current.position,
        added=plan.added,
        dropped=tuple(chunk_id for chunk_id in current.chunk_ids if chunk_id not in kept),
    )


def _payload(change: DocumentChange) -> dict[str, str | None]:
    match change:
        case Unprocessable(payload=payload):
            return dict(payload)
        case Upsert(draft=draft):
            content = draft.content if isinstance(draft.content, str) else None
            return {"title": str(draft.title), "content": None if content is None else content[:2000]}
        case Delete():
            return {}

"""One micro-batch of document changes: the index protocol, steps 1 to 4 (docs/architecture.md).

Steps 1 and 2, planning and embedding, are here; 3 and 4, which write, are in ``switching``.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from rtrag.application.completion import Completed, DraftCompletion
from rtrag.application.switching import PlannedChange, switch
from rtrag.application.totals import Totals
from rtrag.application.vectors import VectorSupply
from rtrag.domain.change import Delete, DocumentChange, Unprocessable, Upsert
from rtrag.domain.chunk import Vector
from rtrag.domain.coalesce import Coalesced, coalesce
from rtrag.domain.composition import Composer
from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.domain.errors import TerminalError, TransientError
from rtrag.domain.manifest import Manifest, TableState
from rtrag.domain.plan import Plan, is_obsolete, plan_delete, plan_upsert
from rtrag.domain.position import Position
from rtrag.ports.changes import RowReader
from rtrag.ports.dead_letters import DeadLetter, DeadLetters
from rtrag.ports.index import Index, Records

MAX_ROUNDS = 50  # another worker can win a document only as often as it has newer changes of it


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOutcome:
    """What became of a batch: documents now visible at their positions, and those kept as dead letters.

    ``embedded_at`` is when it was planned and embedded (Unix seconds), None for what was applied document by document.
    """

    visible: Mapping[DocumentKey, Position]
    failed: tuple[DeadLetter, ...]
    embedded_at: float | None = None


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

    planned: Sequence[PlannedChange]
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
        prepared = await self.prepare(changes, rows, rewrite=rewrite)
        embedded_at = time.time()
        return replace(await self.finish(prepared), embedded_at=embedded_at)

    async def prepare(self, changes: Sequence[DocumentChange], rows: RowReader, *, rewrite: bool = False) -> Prepared:
        """The first half of ``apply``: steps 1 and 2. It writes nothing, so others may write before ``finish``."""
        return await self._prepare(coalesce(changes), _Batch(rows=rows, rewrite=rewrite))

    async def finish(self, prepared: Prepared) -> IndexOutcome:
        """The second half of ``apply``: steps 3 and 4, and the whole again for documents that others have changed."""
        batch = prepared.batch
        for _ in range(MAX_ROUNDS):
            pending = await switch(self._index, prepared.planned, prepared.vectors)
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

    async def _planned(
        self,
        item: Coalesced,
        completed: Completed,
        records: Records,
        failed: list[DeadLetter],
        *,
        rewrite: bool,
    ) -> PlannedChange | None:
        current = records.manifests.get(item.key)
        table = records.tables[item.key.table]
        match item.change:
            case Unprocessable(cause=cause):
                failed.append(await self.give_up(item.change, cause, attempts=1))
                return None
            case Delete(key=key, position=position, commit_time=commit_time):
                tombstone = Manifest(key=key, position=position, commit_time=commit_time, deleted=True)
                return PlannedChange(coalesced=item, plan=plan_delete(tombstone, current), updates=False)
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
                return PlannedChange(coalesced=item, plan=plan, updates=updates)

    def _plan(self, change: Upsert, draft: DocumentDraft, current: Manifest | None, table: TableState) -> Plan:
        composed = self._composer.compose(draft)
        return plan_upsert(composed, change.position, change.commit_time, current, table.floor)

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

    def _count(self, planned: Iterable[PlannedChange], embedded: frozenset[str]) -> None:
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

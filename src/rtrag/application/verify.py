"""Verify (G8): the index against the tables, window by window, beside the running system.

Every row of a window is mapped, chunked and identified afresh and compared with its manifest and chunk points;
then what the index has beyond the tables. With repair, what differs is indexed from its row again.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from rtrag.application.orphans import orphans, sweep_orphans
from rtrag.application.refresh import Refresh
from rtrag.application.services import Difference, VerifyReport
from rtrag.application.vectors import VectorSupply
from rtrag.domain.chunk import Vector
from rtrag.domain.comparison import difference
from rtrag.domain.composition import Composed, Composer
from rtrag.domain.document import DocumentDraft, DocumentKey
from rtrag.domain.errors import TerminalError
from rtrag.domain.manifest import Manifest
from rtrag.ports.changes import RowRead
from rtrag.ports.dead_letters import DeadLetters
from rtrag.ports.index import Index

WINDOW = 200


@dataclass(slots=True)
class _Findings:
    documents: int = 0
    differences: list[Difference] = field(default_factory=list)
    seen: set[DocumentKey] = field(default_factory=set)
    repaired: int = 0

    def add(self, kind: str, key: object, detail: str) -> None:
        self.differences.append(Difference(kind=kind, key=str(key), detail=detail))


class Verifier:
    """Compares and repairs."""

    def __init__(
        self,
        *,
        index: Index,
        composer: Composer,
        refresh: Refresh,
        letters: DeadLetters,
        vectors: VectorSupply | None,
    ) -> None:
        """With ``vectors`` the stored vectors are compared with freshly embedded ones."""
        self._index = index
        self._composer = composer
        self._refresh = refresh
        self._letters = letters
        self._vectors = vectors

    async def verify(self, *, repair: bool) -> VerifyReport:
        """Compare all tables with the index. Raises TransientError when a dependency is away."""
        findings = _Findings()
        listed: set[str] = set()
        for table in self._composer.mappings:
            async for read in self._windows(table):
                await self._compare_window(read, findings, listed, repair=repair)
            await self._compare_extra(table, findings, listed, repair=repair)
        await self._compare_orphans(findings, repair=repair)
        return VerifyReport(
            documents=findings.documents,
            chunks=len(listed),
            differences=tuple(findings.differences),
            repaired=findings.repaired,
        )

    async def _windows(self, table: str) -> AsyncIterator[RowRead]:
        after: DocumentKey | None = None
        while True:
            read = await self._refresh.page(table, after, WINDOW)
            if read.last is None:
                return
            yield read
            after = read.last

    async def _compare_window(self, read: RowRead, findings: _Findings, listed: set[str], *, repair: bool) -> None:
        suspects = await self._differing(read, listed)
        findings.documents += len(read.rows)
        findings.seen.update(draft.key for draft in read.rows)
        findings.seen.update(read.rejected)
        # What changed between the read and the comparison is not a difference: look once more, at rows of now.
        confirmed: dict[DocumentKey, str] = {}
        if suspects:
            again = await self._refresh.read(list(suspects))
            confirmed = await self._differing(again, listed, settled=True)
        if not confirmed:
            return
        for key, detail in confirmed.items():
            findings.add("missing" if detail == "not indexed" else "different", key, detail)
        if repair:
            await self._repair(list(confirmed), findings)

    async def _differing(self, read: RowRead, listed: set[str], *, settled: bool = False) -> dict[DocumentKey, str]:
        """Documents that differ. With ``settled``, those that the stream has changed since the read are left out."""
        keys = [draft.key for draft in read.rows]
        if not keys:
            return {}
        records = await self._index.records(keys, tuple({key.table for key in keys}))
        excused = await self._letters.open_keys(keys)
        ids = [i for key in keys if (m := records.manifests.get(key)) for i in m.chunk_ids]
        points = await self._index.chunks(ids, with_vectors=self._vectors is not None)
        listed.update(ids)
        expected = await self._expected(read.rows)
        differing: dict[DocumentKey, str] = {}
        for draft in read.rows:
            if draft.key in excused or draft.key not in expected:
                continue
            manifest = records.manifests.get(draft.key)
            floor = records.tables[draft.key.table].floor
            composed, vectors = expected[draft.key]
            detail = difference(composed, vectors, manifest, floor, points)
            changed_since = manifest is not None and manifest.position > self._refresh.position(read)
            if detail is not None and not (settled and changed_since):
                differing[draft.key] = detail
        return differing

    async def _expected(
        self, drafts: Sequence[DocumentDraft]
    ) -> Mapping[DocumentKey, tuple[Composed, Mapping[str, Vector]]]:
        expected: dict[DocumentKey, tuple[Composed, Mapping[str, Vector]]] = {}
        inputs: dict[str, str] = {}
        for draft in drafts:
            try:
                composed = self._composer.compose(draft)
            except TerminalError:
                continue  # such a document is a dead letter
            inputs |= {c.fingerprint: c.embedding_input for c in composed.chunks if c.fingerprint and c.embedding_input}
            expected[draft.key] = (composed, {})
        vectors = await self._vectors.embed_afresh(inputs) if self._vectors is not None and inputs else {}
        return {key: (composed, vectors) for key, (composed, _) in expected.items()}

    async def _compare_extra(self, table: str, findings: _Findings, listed: set[str], *, repair: bool) -> None:
        """Documents that the index shows and the table does not have."""
        floor = (await self._index.records((), (table,))).tables[table].floor
        extra: list[Manifest] = []
        async for page in self._index.manifests(table):
            for manifest in page:
                visible = not manifest.deleted and (floor is None or manifest.position > floor)
                if not manifest.deleted:
                    listed.update(manifest.chunk_ids)
                if visible and manifest.key not in findings.seen:
                    extra.append(manifest)
        for start in range(0, len(extra), WINDOW):
            keys = [manifest.key for manifest in extra[start : start + WINDOW]]
            read = await self._refresh.read(keys)
            present = {draft.key for draft in read.rows} | read.rejected.keys()
            records = await self._index.records(keys)
            gone = [k for k in keys if k not in present and (m := records.manifests.get(k)) and not m.deleted]
            for key in gone:
                findings.add("extra", key, "indexed, but there is no such row")
            if repair and gone:
                await self._repair(gone, findings)

    async def _repair(self, keys: Sequence[DocumentKey], findings: _Findings) -> None:
        failed = frozenset(str(key) for key in await self._refresh.index_now(keys, rewrite=True))
        mended = {str(key) for key in keys} - failed
        findings.differences = [d for d in findings.differences if d.key not in mended]
        findings.repaired += len(mended)

    async def _compare_orphans(self, findings: _Findings, *, repair: bool) -> None:
        if repair:
            findings.repaired += await sweep_orphans(self._index, self._refresh.durable_position)
        async for point, _ in orphans(self._index, self._refresh.durable_position):
            findings.add("orphan", point.id, f"chunk of {point.key} that its manifest does not list")

"""Filling in what capture could not send: from the index where that is lossless, else from the row itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtrag.application.totals import Totals
from rtrag.domain.change import Upsert
from rtrag.domain.coalesce import Coalesced
from rtrag.domain.document import MISSING, DocumentDraft, DocumentKey
from rtrag.domain.plan import complete_from_index
from rtrag.ports.changes import RowReader
from rtrag.ports.index import IndexReader, Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """Complete drafts, and the causes why rows that were read cannot become documents, by key."""

    drafts: Mapping[DocumentKey, DocumentDraft]
    rejected: Mapping[DocumentKey, str]


class DraftCompletion:
    """Completes the drafts of a batch.

    A row that has to be read is read as it is now and written at the position of its event: changes committed
    after the event come again in the stream, above that position, so nothing is lost (docs/adr/0003).
    """

    def __init__(self, index: IndexReader, totals: Totals) -> None:
        self._index = index
        self._totals = totals

    async def complete(
        self,
        items: Sequence[Coalesced],
        records: Records,
        open_letters: frozenset[DocumentKey],
        rows: RowReader,
    ) -> Completed:
        """Complete the drafts; a document in neither mapping has no row any more."""
        complete: dict[DocumentKey, DocumentDraft] = {}
        unread: list[DocumentKey] = []
        for item in items:
            if not isinstance(item.change, Upsert):
                continue
            draft = item.change.draft
            if draft.has_all:
                complete[item.key] = draft
                continue
            known = None if open_letters & {item.key, item.base} else await self._from_index(draft, item.base, records)
            if known is None:
                unread.append(item.key)
            else:
                complete[item.key] = known
        rejected: Mapping[DocumentKey, str] = {}
        if unread:
            self._totals.add("rows_read", len(unread))
            read = await rows.read(unread)
            complete |= {draft.key: draft for draft in read.rows}
            rejected = read.rejected
        return Completed(drafts=complete, rejected=rejected)

    async def _from_index(self, draft: DocumentDraft, base: DocumentKey, records: Records) -> DocumentDraft | None:
        manifest = records.manifests.get(base)
        floor = records.tables[base.table].floor
        if draft.incomplete or manifest is None or manifest.deleted or (floor and manifest.position <= floor):
            return None
        if draft.content is not MISSING:
            return complete_from_index(draft, manifest, ())
        points = await self._index.chunks(manifest.chunk_ids)
        if len(points) < len(set(manifest.chunk_ids)):
            return None
        return complete_from_index(draft, manifest, [points[chunk_id].text for chunk_id in manifest.chunk_ids])

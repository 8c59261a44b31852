"""Merging the waiting changes of each document into one: the newest wins, what it lacks comes from the older."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rtrag.domain.change import Delete, DocumentChange, Unprocessable, Upsert
from rtrag.domain.document import MISSING, DocumentDraft, DocumentKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Coalesced:
    """The one change left of a document in a batch.

    ``base`` is the document in the index from which missing parts are taken: the document itself, or the one
    that stood under the key it had before. ``merged`` counts the events it stands for.
    """

    change: DocumentChange
    base: DocumentKey
    merged: int = 1

    @property
    def key(self) -> DocumentKey:
        return self.change.key


def coalesce(changes: Iterable[DocumentChange]) -> tuple[Coalesced, ...]:
    """One change a document, in the order in which each document's last change arrived.

    The changes of a document must come in the order of their positions. An unprocessable change followed by
    one that can be processed is dropped: what comes later holds the whole row, or is read from the table
    because the missing parts may be those of the change that failed.
    """
    latest: dict[DocumentKey, Coalesced] = {}
    departed: dict[DocumentKey, Coalesced] = {}
    for change in changes:
        previous = latest.pop(change.key, None)
        match change:
            case Upsert():
                latest[change.key] = _merge(change, previous, departed)
            case Delete():
                if previous is not None:
                    departed[change.key] = previous
                latest[change.key] = Coalesced(change=change, base=change.key, merged=_count(previous))
            case Unprocessable():
                latest[change.key] = Coalesced(change=change, base=change.key, merged=_count(previous))
    return tuple(latest.values())


def _merge(change: Upsert, previous: Coalesced | None, departed: dict[DocumentKey, Coalesced]) -> Coalesced:
    merged = _count(previous)
    if change.previous_key is not None:
        older = departed.get(change.previous_key)
        base = older.base if older is not None else change.previous_key
    else:
        older = previous
        base = previous.base if previous is not None else change.key
    if change.draft.has_all or older is None:
        return Coalesced(change=change, base=base, merged=merged)
    if not isinstance(older.change, Upsert):
        # What the update left out is unknown here: the row itself has to be read.
        return Coalesced(change=replace(change, draft=replace(change.draft, incomplete=True)), base=base, merged=merged)
    draft = fill(change.draft, older.change.draft)
    return Coalesced(change=replace(change, draft=draft), base=base, merged=merged)


def fill(draft: DocumentDraft, older: DocumentDraft) -> DocumentDraft:
    """Take what the draft lacks from an older draft of the same row."""
    return replace(
        draft,
        title=older.title if draft.title is MISSING else draft.title,
        content=older.content if draft.content is MISSING else draft.content,
        metadata=older.metadata if draft.metadata is MISSING else draft.metadata,
    )


def _count(previous: Coalesced | None) -> int:
    return 1 if previous is None else previous.merged + 1

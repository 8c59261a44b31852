"""Coalescing: one change a document, the newest, with what it lacks taken from the older."""

from rtrag.domain.change import Delete, DocumentChange, Unprocessable, Upsert
from rtrag.domain.coalesce import coalesce
from rtrag.domain.document import MISSING, DocumentDraft, DocumentKey, Missing
from rtrag.domain.position import Position

OLD = DocumentKey("public.documents", ("old",))
NEW = DocumentKey("public.documents", ("new",))


def upsert(
    lsn: int, key: DocumentKey = OLD, content: str | Missing = MISSING, previous: DocumentKey | None = None
) -> Upsert:
    draft = DocumentDraft(key=key, title=f"title {lsn}", content=content, metadata={})
    return Upsert(position=Position(1, lsn, 0), draft=draft, previous_key=previous)


def only(*changes: DocumentChange) -> Upsert:
    [coalesced] = coalesce(changes)
    assert isinstance(coalesced.change, Upsert)
    return coalesced.change


def test_the_newest_change_of_a_document_wins() -> None:
    assert only(upsert(1, content="a"), upsert(2, content="b")).draft.content == "b"


def test_missing_parts_come_from_the_older_change() -> None:
    change = only(upsert(1, content="a"), upsert(2))
    assert (change.draft.content, change.draft.title) == ("a", "title 2")


def test_missing_parts_stay_missing_when_nothing_older_has_them() -> None:
    assert only(upsert(1), upsert(2)).draft.content is MISSING


def test_a_renamed_document_takes_what_it_lacks_from_its_former_key() -> None:
    changes: list[DocumentChange] = [
        upsert(1, content="a"),
        Delete(position=Position(1, 2, 0), key=OLD),
        upsert(2, NEW, previous=OLD),
    ]
    deleted, renamed = coalesce(changes)
    assert isinstance(deleted.change, Delete)
    assert isinstance(renamed.change, Upsert)
    assert renamed.change.draft.content == "a"


def test_the_base_of_a_twice_renamed_document_is_its_first_key() -> None:
    third = DocumentKey("public.documents", ("third",))
    changes: list[DocumentChange] = [
        Delete(position=Position(1, 1, 0), key=OLD),
        upsert(1, NEW, previous=OLD),
        Delete(position=Position(1, 2, 0), key=NEW),
        upsert(2, third, previous=NEW),
    ]
    assert coalesce(changes)[-1].base == OLD


def test_what_follows_an_unprocessable_change_must_be_read_when_it_lacks_parts() -> None:
    broken = Unprocessable(position=Position(1, 1, 0), key=OLD, cause="odd bytes", payload={})
    assert only(broken, upsert(2)).draft.incomplete
    assert not only(broken, upsert(2, content="whole")).draft.incomplete


def test_an_insert_after_a_delete_does_not_see_what_was_deleted() -> None:
    changes: list[DocumentChange] = [
        upsert(1, content="a"),
        Delete(position=Position(1, 2, 0), key=OLD),
        upsert(3, content="b"),
    ]
    [coalesced] = coalesce(changes)
    assert coalesced.change.position.lsn == 3
    assert coalesced.merged == 3

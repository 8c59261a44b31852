"""From pgoutput messages to change events: pure, one state for each stream."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rtrag.adapters.postgres.layout import Layout, RowError, layout_of
from rtrag.adapters.postgres.replication_frames import ProtocolError
from rtrag.adapters.postgres.replication_messages import (
    UNCHANGED,
    Begin,
    ColumnValue,
    Relation,
    Row,
    RowChange,
    RowDeleted,
    RowInserted,
    RowUpdated,
    Truncated,
)
from rtrag.adapters.postgres.types import Converter
from rtrag.domain.change import ChangeEvent, Delete, Truncate, Unprocessable, Upsert
from rtrag.domain.document import DocumentKey
from rtrag.domain.mapping import TableMapping
from rtrag.domain.position import Position


class Translator:
    """Keeps what Relation and Begin said, and makes events of the changes that follow.

    Ordinals count the events of a transaction as the server sends it, so a replay numbers them alike.
    """

    def __init__(self, mappings: Sequence[TableMapping], epoch: int) -> None:
        self._mappings = {mapping.table: mapping for mapping in mappings}
        self._epoch = epoch
        self._layouts: dict[int, Layout | None] = {}
        self._begin: Begin | None = None
        self._ordinal = 0

    @property
    def broken_tables(self) -> Mapping[str, str]:
        """Tables whose changes cannot be indexed, with the reason."""
        return {
            layout.mapping.table: layout.complaint
            for layout in self._layouts.values()
            if layout is not None and layout.missing
        }

    def mapped(self, relation: Relation) -> bool:
        """Whether the table is one of ours."""
        return f"{relation.namespace}.{relation.name}" in self._mappings

    def relation(self, relation: Relation, converters: Mapping[int, Converter]) -> None:
        """Take the columns of a table as they are from here on."""
        mapping = self._mappings.get(f"{relation.namespace}.{relation.name}")
        if mapping is None:
            self._layouts[relation.oid] = None
            return
        for oid, layout in list(self._layouts.items()):
            if layout is not None and layout.mapping.table == mapping.table:
                del self._layouts[oid]  # a table dropped and made again has a new OID
        columns = [(column.name, column.type_oid) for column in relation.columns]
        identity = [column.name for column in relation.columns if column.part_of_key]
        self._layouts[relation.oid] = layout_of(mapping, columns, converters, identity)

    def begin(self, begin: Begin) -> None:
        """Take the transaction that the next changes belong to."""
        self._begin = begin
        self._ordinal = 0

    def change(self, message: RowChange, size: int) -> tuple[ChangeEvent, ...]:
        """The events of one row's change; none for a table that is not ours."""
        layout = self._layout(message.relation)
        if layout is None:
            return ()
        match message:
            case RowInserted(_, new):
                return (self._upsert(layout, new, size, None),)
            case RowDeleted(_, _, old):
                return (self._delete(layout, old, size),)
            case RowUpdated():
                return self._update(layout, message, size)

    def truncate(self, message: Truncated, size: int) -> tuple[ChangeEvent, ...]:
        """One event for each of our tables among those truncated."""
        layouts = [self._layout(relation) for relation in message.relations]
        events = []
        for layout in layouts:
            if layout is not None:
                position, commit_time = self._next()
                events.append(
                    Truncate(position=position, table=layout.mapping.table, commit_time=commit_time, size=size)
                )
        return tuple(events)

    def _layout(self, relation: int) -> Layout | None:
        try:
            return self._layouts[relation]
        except KeyError:
            raise ProtocolError(f"a change of table {relation} came before the description of its columns") from None

    def _next(self) -> tuple[Position, datetime]:
        if self._begin is None:
            raise ProtocolError("a change came outside of a transaction")
        position = Position(self._epoch, self._begin.final_lsn, self._ordinal)
        self._ordinal += 1
        return position, self._begin.commit_time

    def _update(self, layout: Layout, message: RowUpdated, size: int) -> tuple[ChangeEvent, ...]:
        if message.old is None:
            return (self._upsert(layout, message.new, size, None),)
        new = _filled(message.new, message.old)
        try:
            moved = layout.key(message.old) != layout.key(new)
        except RowError:
            moved = False
        if not moved:
            return (self._upsert(layout, new, size, None),)
        return (self._delete(layout, message.old, 0), self._upsert(layout, new, size, layout.key(message.old)))

    def _upsert(self, layout: Layout, row: Row, size: int, previous: DocumentKey | None) -> ChangeEvent:
        position, commit_time = self._next()
        try:
            draft = layout.draft(row)
            key = layout.key(row) if draft is None else draft.key
        except RowError as exc:
            return _unprocessable(layout, row, str(exc), position, commit_time, size)
        if draft is None:
            return Delete(position=position, key=key, commit_time=commit_time, size=size)
        return Upsert(position=position, draft=draft, commit_time=commit_time, previous_key=previous, size=size)

    def _delete(self, layout: Layout, row: Row, size: int) -> ChangeEvent:
        position, commit_time = self._next()
        try:
            key = layout.key(row)
        except RowError as exc:
            return _unprocessable(layout, row, str(exc), position, commit_time, size)
        return Delete(position=position, key=key, commit_time=commit_time, size=size)


def _unprocessable(
    layout: Layout, row: Row, cause: str, position: Position, commit_time: datetime, size: int
) -> Unprocessable:
    return Unprocessable(
        position=position,
        key=layout.any_key(row),
        cause=cause,
        payload=layout.payload(row),
        commit_time=commit_time,
        size=size,
    )


def _filled(new: Row, old: Row) -> Row:
    """With the whole old row or its key at hand, what the update left out is known."""
    if UNCHANGED not in new or len(new) != len(old):
        return new
    filled: list[ColumnValue] = [
        before if now is UNCHANGED and before is not None else now for now, before in zip(new, old, strict=True)
    ]
    return tuple(filled)

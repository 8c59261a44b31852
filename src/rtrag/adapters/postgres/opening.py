"""How capture starts: resume the stream, or make a new slot and copy. A pure decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rtrag.adapters.postgres.replication import ServerIdentity
from rtrag.adapters.postgres.slot import SlotStatus
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.manifest import SourceState
from rtrag.domain.position import format_lsn

_PLUGIN: Final = "pgoutput"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a start finds.

    Attributes:
        recorded: where capture stood, None if it never ran.
        copied: last epoch whose copy is complete, by table.
        tables: the tables that the configuration names.
        unpublished: tables whose changes the publication did not carry when it was looked at, with the reason.
    """

    recorded: SourceState | None
    copied: Mapping[str, int]
    tables: Sequence[str]
    unpublished: Mapping[str, str]
    server: ServerIdentity
    slot_name: str
    slot: SlotStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Stream on from ``lsn``."""

    epoch: int
    lsn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Make the slot anew and copy the tables for a new epoch. ``lost`` when changes were lost."""

    epoch: int
    reason: str
    lost: bool


def decide_opening(found: Found) -> Resume | Copy:
    """Resume only if nothing can have been missed. Raises ConfigurationError for a slot that is not ours."""
    _check_ownership(found)
    recorded = found.recorded
    if recorded is None:
        return Copy(epoch=1, reason="first use: the tables have never been copied", lost=False)
    lost = _history_lost(found, recorded)
    reason = lost or _copy_due(found, recorded)
    if reason is not None:
        return Copy(epoch=recorded.epoch + 1, reason=reason, lost=lost is not None)
    return Resume(epoch=recorded.epoch, lsn=recorded.durable_lsn)


def _check_ownership(found: Found) -> None:
    slot = found.slot
    if slot is None or (slot.plugin == _PLUGIN and slot.database == found.server.database):
        return
    raise ConfigurationError(
        f"Replication slot {slot.name!r} belongs to something else: plugin {slot.plugin}, database "
        f"{slot.database or 'none'}, where {_PLUGIN} and {found.server.database} were expected.",
        fix="choose another slot name (RTRAG_SOURCE__SLOT)",
    )


def _history_lost(found: Found, recorded: SourceState) -> str | None:
    return _other_server(found.server, recorded) or _slot_lost(found, recorded) or _publication_gap(found, recorded)


def _other_server(server: ServerIdentity, recorded: SourceState) -> str | None:
    if server.system_identifier != recorded.system_identifier:
        return (
            f"the server is another one (system identifier {server.system_identifier}, before "
            f"{recorded.system_identifier}): its positions do not compare with those recorded"
        )
    if server.timeline != recorded.timeline:
        return (
            f"the server is on timeline {server.timeline}, before {recorded.timeline} (failover or restore): "
            "positions do not compare across timelines"
        )
    return None


def _slot_lost(found: Found, recorded: SourceState) -> str | None:
    slot = found.slot
    if recorded.slot != found.slot_name:
        return f"the slot is {found.slot_name!r} now and was {recorded.slot!r}: changes in between are unknown"
    if slot is None:
        return (
            f"replication slot {found.slot_name!r} is gone: changes since {format_lsn(recorded.durable_lsn)} are lost"
        )
    if slot.lost:
        return (
            f"replication slot {slot.name!r} is lost (wal_status {slot.wal_status}, "
            f"{slot.invalidation_reason or 'no reason given'}): the server removed log that was still needed"
        )
    if slot.confirmed_lsn is not None and slot.confirmed_lsn > recorded.durable_lsn:
        return (
            f"replication slot {slot.name!r} stands at {format_lsn(slot.confirmed_lsn)}, ahead of what is durable "
            f"here, {format_lsn(recorded.durable_lsn)}: the changes between were skipped"
        )
    if recorded.durable_lsn > found.server.flushed_lsn:
        return (
            f"the server's log ends at {format_lsn(found.server.flushed_lsn)}, before what is recorded here, "
            f"{format_lsn(recorded.durable_lsn)}: it was restored from an older state"
        )
    return None


def _publication_gap(found: Found, recorded: SourceState) -> str | None:
    gaps = [
        f"{table} ({reason})"
        for table, reason in sorted(found.unpublished.items())
        if found.copied.get(table, 0) >= recorded.epoch
    ]
    return f"changes of tables were not published for a time: {', '.join(gaps)}" if gaps else None


def _copy_due(found: Found, recorded: SourceState) -> str | None:
    added = sorted(table for table in found.tables if table not in found.copied)
    incomplete = sorted(table for table in found.tables if 0 <= found.copied.get(table, -1) < recorded.epoch)
    if incomplete:
        return f"the copy of {', '.join(incomplete)} was not completed"
    return f"tables are new in the configuration: {', '.join(added)}" if added else None

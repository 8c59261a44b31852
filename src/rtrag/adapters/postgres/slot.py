"""The replication slot: what the server says of it, dropping it, and how much log it holds back."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from rtrag.adapters.postgres.connection import Connection, rows
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.position import parse_lsn

_INVALIDATION_SINCE: Final = 170_000
_POLL: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStatus:
    """A row of pg_replication_slots. ``user`` says who holds the slot, for people."""

    name: str
    plugin: str
    database: str
    temporary: bool = False
    active_pid: int | None = None
    user: str | None = None
    wal_status: str | None = "reserved"
    invalidation_reason: str | None = None
    confirmed_lsn: int | None = None

    @property
    def lost(self) -> bool:
        """Whether the server can no longer stream from it."""
        return self.wal_status == "lost" or self.invalidation_reason is not None or self.confirmed_lsn is None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotHealth:
    """Numbers to watch: a slot that is not read fills the server's disk, or is lost.

    Attributes:
        retained_bytes: log that the server keeps because of the slot.
        lag_bytes: log written and not yet confirmed by us.
        safe_wal_size: bytes that may still be written before the slot is lost; None without a limit.
        wal_status: reserved, extended, unreserved or lost; None if there is no slot.
    """

    exists: bool
    active: bool
    wal_status: str | None
    invalidation_reason: str | None
    retained_bytes: int
    lag_bytes: int
    safe_wal_size: int | None


async def slot_status(connection: Connection, name: str) -> SlotStatus | None:
    """What the server says of the slot, None if it does not exist."""
    query = f"""
        SELECT s.slot_name::text, s.plugin::text, s.database::text, s.temporary, s.active_pid,
               s.wal_status, s.{_invalidation(connection)}, s.confirmed_flush_lsn::text,
               (SELECT format('process %s, role %s, application %s, from %s', a.pid, a.usename,
                              a.application_name, coalesce(a.client_addr::text, 'a local socket'))
                FROM pg_stat_activity a WHERE a.pid = s.active_pid)
        FROM (SELECT *, NULL::text AS none FROM pg_replication_slots) s WHERE s.slot_name = $1
    """
    found = await rows(connection, query, (name,), doing=f"looking for replication slot {name!r}")
    if not found:
        return None
    slot, plugin, database, temporary, pid, wal_status, reason, confirmed, user = found[0]
    return SlotStatus(
        name=slot,
        plugin=plugin or "none (a physical slot)",
        database=database or "",
        temporary=temporary,
        active_pid=pid,
        user=user,
        wal_status=wal_status,
        invalidation_reason=reason,
        confirmed_lsn=parse_lsn(confirmed) if confirmed else None,
    )


async def slot_health(connection: Connection, name: str) -> SlotHealth:
    """How much log the slot holds back, and whether it is in danger."""
    query = f"""
        SELECT active, wal_status, {_invalidation(connection)},
               coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint,
               coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint, safe_wal_size
        FROM (SELECT *, NULL::text AS none FROM pg_replication_slots) s WHERE slot_name = $1
    """
    found: list[tuple[Any, ...]] = await rows(connection, query, (name,), doing=f"measuring slot {name!r}")
    active, wal_status, reason, retained, lag, safe = found[0] if found else (False, None, None, 0, 0, None)
    return SlotHealth(
        exists=bool(found),
        active=active,
        wal_status=wal_status,
        invalidation_reason=reason,
        retained_bytes=max(retained, 0),
        lag_bytes=max(lag, 0),
        safe_wal_size=safe,
    )


async def wait_until_free(connection: Connection, name: str, seconds: float) -> SlotStatus | None:
    """The slot's status once nobody reads it, or after ``seconds``: a killed reader takes a moment to let go."""
    give_up = asyncio.get_running_loop().time() + seconds
    while True:
        status = await slot_status(connection, name)
        if status is None or status.active_pid is None or asyncio.get_running_loop().time() >= give_up:
            return status
        await asyncio.sleep(_POLL)


async def drop_slot(connection: Connection, status: SlotStatus) -> None:
    """Drop the slot. Raises ConfigurationError when somebody reads it."""
    if status.active_pid is not None:
        raise ConfigurationError(
            f"Replication slot {status.name!r} has to be made anew, but is in use by {status.user or 'somebody'}.",
            fix="stop the other instance, or give this one a slot of its own (RTRAG_SOURCE__SLOT); if the process is a "
            f"leftover: SELECT pg_terminate_backend({status.active_pid});",
        )
    query = "SELECT pg_drop_replication_slot($1)"
    await rows(connection, query, (status.name,), doing=f"dropping replication slot {status.name!r}")


def _invalidation(connection: Connection) -> str:
    return "invalidation_reason" if connection.info.server_version >= _INVALIDATION_SINCE else "none"

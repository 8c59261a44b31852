"""What the server has to be and allow before capture may start; every complaint names the SQL that mends it."""

from typing import Final

from rtrag.adapters.postgres.connection import Connection, quoted, rows
from rtrag.domain.errors import ConfigurationError

_OLDEST: Final = 140_000

_SERVER = """
SELECT current_setting('wal_level'), pg_is_in_recovery(), current_user::text,
       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1),
       current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
       OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'MEMBER'))
"""


async def check_server(connection: Connection, slot: str) -> None:
    """Raise ConfigurationError unless the server can stream changes to this role."""
    version = connection.info.server_version
    if version < _OLDEST:
        raise ConfigurationError(
            f"PostgreSQL {version // 10_000} is too old: 14 or newer is needed.", fix="upgrade the server"
        )
    found = await rows(connection, _SERVER, (slot,), doing="checking the server")
    wal_level, recovery, role, slots, slots_used, exists, senders, senders_used, may_replicate = found[0]
    if recovery:
        raise ConfigurationError("The server is a standby.", fix="point the URL to the primary")
    if wal_level != "logical":
        raise ConfigurationError(
            f"wal_level is {wal_level!r}, so the server writes no log that changes can be read from.",
            fix="ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL",
        )
    if not may_replicate:
        raise ConfigurationError(
            f"Role {role!r} may not replicate.",
            fix=f"ALTER ROLE {quoted(role)} REPLICATION; (on Amazon RDS: GRANT rds_replication TO {quoted(role)};)",
        )
    if not exists and slots_used >= slots:
        raise ConfigurationError(
            f"All {slots} replication slots of the server are in use.",
            fix=f"ALTER SYSTEM SET max_replication_slots = {slots + 5}; then restart PostgreSQL; or drop one that "
            "nobody needs: SELECT slot_name, active FROM pg_replication_slots;",
        )
    if senders_used >= senders:
        raise ConfigurationError(
            f"All {senders} WAL senders of the server are in use.",
            fix=f"ALTER SYSTEM SET max_wal_senders = {senders + 5}; then restart PostgreSQL",
        )

"""Why a connector failed: the words of its trace, and what to do about the usual causes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rtrag.adapters.kafka_connect import Part
from rtrag.entrypoints.cli.output import note, plain, styled

_SHOWN_LINES = 4
_SHOWN_CHARACTERS = 400
_FRAME = re.compile(r"^\s*(at |\.\.\. \d+ more)")

# The first that is found counts: the more particular come first. {braces} are settings of the connector.
_FIXES: Final[tuple[tuple[str, str], ...]] = (
    (
        r"wal_level",
        "ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL (on RDS: rds.logical_replication = 1).",
    ),
    (
        r"must be superuser(,| or) replication|permission denied to (start WAL sender|use replication slots)",
        "ALTER ROLE {database.user} REPLICATION;",
    ),
    (
        r"permission denied for (table|relation)",
        "GRANT SELECT ON {table.include.list} TO {database.user};",
    ),
    (r"permission denied for schema", "GRANT USAGE ON SCHEMA public TO {database.user};"),
    (
        r"slot .* is active for PID",
        "another connector or process reads slot {slot.name}: stop that one, or use another with --set slot.name=...",
    ),
    (
        r"Unable to update filtered publication",
        (
            "the publication has other tables than table.include.list. As its owner: ALTER PUBLICATION "
            "{publication.name} SET TABLE ONLY {table.include.list}; or leave it as it is with "
            "--set publication.autocreate.mode=disabled"
        ),
    ),
    (
        (
            r"Publication autocreation is disabled|Unable to create filtered publication|publication .* does not exist"
            r"|must be owner of"
        ),
        (
            "as the owner of the tables: CREATE PUBLICATION {publication.name} FOR TABLE ONLY {table.include.list} "
            "WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);"
        ),
    ),
    (
        (
            r"can no longer (get changes|be accessed)|requested WAL segment .* removed"
            r"|no longer available on the server|replication slot .* does not exist|lost the (needed )?WAL"
        ),
        (
            "the slot's history is gone: `rtrag debezium delete --drop-slot`, raise the number at the end of "
            "topic.prefix ({topic.prefix}), then `rtrag debezium apply`: all rows are copied once more."
        ),
    ),
    (
        r"all replication slots are in use",
        "raise max_replication_slots and restart PostgreSQL, or drop slots that nobody reads (pg_replication_slots).",
    ),
    (r"max_wal_senders", "raise max_wal_senders and restart PostgreSQL."),
    (r"password authentication failed", "correct database.password, or ALTER ROLE {database.user} PASSWORD '...';"),
    (
        r"no pg_hba.conf entry",
        "let {database.user} in by pg_hba.conf, from the address of Kafka Connect; then SELECT pg_reload_conf();",
    ),
    (r"database .* does not exist", "correct database.dbname ({database.dbname})."),
    (
        r"Connection to .* refused|UnknownHost|connection attempt failed|Connection refused",
        (
            "correct database.hostname and database.port ({database.hostname}:{database.port}) as Kafka Connect "
            "sees them, and start PostgreSQL."
        ),
    ),
    (
        r"RecordTooLargeException",
        (
            "raise producer.override.max.request.size ({producer.override.max.request.size}), with "
            "producer.override.buffer.memory and the topic's max.message.bytes at least as large."
        ),
    ),
    (r"OutOfMemoryError", "give Kafka Connect more memory (KAFKA_HEAP_OPTS), or lower max.queue.size.in.bytes."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What failed, the innermost reason last; ``fix`` is empty where none is known."""

    lines: tuple[str, ...]
    fix: str


def explain(trace: str, config: Mapping[str, str]) -> Cause:
    """The lines of a Java trace that say something, and the fix with the names of this configuration."""
    lines = [line.strip() for line in trace.splitlines() if line.strip() and not _FRAME.match(line)]
    shown = lines if len(lines) <= _SHOWN_LINES else [*lines[: _SHOWN_LINES - 1], lines[-1]]
    return Cause(lines=tuple(map(_shortened, shown)), fix=fix_of(trace, config))


def fix_of(text: str, config: Mapping[str, str]) -> str:
    """What to do about an error of the connector, empty if that is not known."""
    for pattern, fix in _FIXES:
        if re.search(pattern, text):
            return re.sub(r"\{([\w.]+)\}", lambda found: config.get(found[1], f"<{found[1]}>"), fix)
    return ""


def show_cause(part: Part, config: Mapping[str, str]) -> None:
    """Say why a part failed, and what to do."""
    cause = explain(part.trace, config)
    note(styled(f"The {part.name} failed:", "red", to_stderr=True))
    for line in cause.lines:
        note(f"  {plain(line)}")
    note(f"Fix: {cause.fix or 'see the log of Kafka Connect'}")
    if "rtrag debezium" not in cause.fix:
        note("then `rtrag debezium restart --failed`.")


def _shortened(line: str) -> str:
    """Its beginning and its end: Debezium's errors have their reason behind a description of all its state."""
    half = _SHOWN_CHARACTERS // 2
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:half]} ... {line[-half:]}"

"""While our tables are idle and others write, Debezium's heartbeat moves the slot on: the log does not pile up."""

from collections.abc import Iterator

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way

from integration.kafka_capture.members import member
from integration.kafka_capture.place import sql, until

MEGABYTES = 8


@pytest.fixture(scope="module")
def own(stack_addresses: Addresses) -> Iterator[Way]:
    """A way whose only document nobody changes, while others write megabytes."""
    with way(stack_addresses) as own:
        sql(own, "CREATE TABLE others (number int, content text)")
        sql(own, "ALTER TABLE others ALTER content SET STORAGE EXTERNAL")
        sql(own, "INSERT INTO documents (id, content) VALUES ('only', 'Nobody changes it.')")
        own.connect()
        write = "INSERT INTO others SELECT n, repeat(md5(n::text), 256) FROM generate_series(1, %s) n"
        sql(own, write, MEGABYTES * 128)
        yield own


def test_the_slot_is_confirmed_past_what_others_write_and_the_log_is_released(own: Way) -> None:
    [(size,)] = sql(own, "SELECT pg_total_relation_size('others')")
    assert size > MEGABYTES * 1_000_000
    written = sql(own, "SELECT pg_current_wal_insert_lsn()::text")[0][0]
    passed = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
    until(lambda: bool(sql(own, passed, written, own.name)[0][0]), "the slot is confirmed past what others wrote")
    kept = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots WHERE slot_name = %s"
    sql(own, "CHECKPOINT")  # which logs the point from which a slot may start again
    until(lambda: sql(own, kept, own.name)[0][0] < MEGABYTES * 1_000_000 // 4, "the log of others is released")


async def test_the_watermark_follows_and_the_numbers_to_watch_tell_it(own: Way) -> None:
    async with member(own) as worker:
        await worker.drain()
        health = await worker.capture.slot_health()
    assert health["wal_status"] == "reserved"
    assert isinstance(health["retained_bytes"], int)
    assert health["retained_bytes"] < MEGABYTES * 1_000_000

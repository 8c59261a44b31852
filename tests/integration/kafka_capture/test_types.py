"""Values of every kind, as metadata and as keys, are indexed from Kafka as they are from the log read directly."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way

from application_bench import TABLE, Bench
from integration.kafka_capture.members import IDENTITY, member
from integration.kafka_capture.place import sql
from integration.postgres.conftest import copied_rows, events_now
from rtrag.adapters.postgres.capture import CaptureSettings, PostgresCapture, Recorded, open_postgres_capture
from rtrag.domain.change import Truncate
from rtrag.domain.document import DocumentKey
from rtrag.domain.mapping import TableMapping

TABLES = rb"""
CREATE TYPE mood AS ENUM ('sad', 'so-so', 'happy');
CREATE DOMAIN share AS numeric(5,2) CHECK (VALUE <= 100);
CREATE TABLE documents (
    half uuid, place numeric(6,2), moment timestamptz, how mood, raw bytea, PRIMARY KEY (half, place, moment, how, raw),
    content text, j json, jb jsonb, n numeric, s share, r real, d double precision, i8 bigint, b boolean,
    tz timestamptz, ts timestamp, da date, ti time, iv interval, e mood, u uuid, ba bytea, c char(4), inet inet,
    at text[], ai int[], an numeric[], ae mood[], au uuid[], aj jsonb[], atz timestamptz[], large bytea
);
ALTER TABLE documents ALTER large SET STORAGE EXTERNAL;
"""
METADATA = (
    "j", "jb", "n", "s", "r", "d", "i8", "b", "tz", "ts", "da", "ti", "iv", "e", "u", "ba", "c", "inet",
    "at", "ai", "an", "ae", "au", "aj", "atz", "large",
)  # fmt: skip
MAPPING = TableMapping(table=TABLE, key_columns=("half", "place", "moment", "how", "raw"), metadata=METADATA)
KEY = r"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 1.50, '2024-02-29 12:34:56.789+05:30', 'so-so', '\xDEAD'"
ROWS = [
    rf"""({KEY}, 'plain', '{{"a": 1.50}}', '{{"b": [1, null, 12345678901234567890]}}', 12.50, 99.9, 0.1, 1e300,
    9007199254740993, true, '2024-02-29 12:34:56+05:30', '2024-02-29 12:34:56.789', '2024-02-29', '12:34',
    '1 day 2 hours', 'happy',
    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12', '\xBEEF', 'ab', '10.0.0.1/24', ARRAY['a,b', 'NULL', ''],
    '{{1,2}}', '{{1.50,7}}', '{{sad,happy}}', '{{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}}', ARRAY['{{"a": 1}}'::jsonb],
    '{{2024-02-29 12:00:00+02}}', decode(repeat('0123456789abcdef', 2000), 'hex'))""",
    r"""(gen_random_uuid(), -0.01, 'infinity', 'sad', '', 'extreme', 'null', '"x"', 'NaN', NULL, 'NaN', '-Infinity',
    '-9223372036854775808', false, '-infinity', 'infinity', 'infinity', '24:00:00', '-1 day +00:00:01.5', NULL, NULL,
    '', '', NULL, '{}', '{{1,2},{3,NULL}}', '{NaN,NULL}', NULL, '{}', NULL, '{infinity}', NULL)""",
    f"({KEY.replace('1.50', '2.00')}, 'nothing but its key')",
]

PLAIN = DocumentKey(
    TABLE, ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "3.00", "2024-02-29 07:04:56.789+00", "happy", r"\xdead")
)
EXPECTED = {
    "b": False,
    "n": 12.5,
    "s": 99.9,
    "tz": "2024-02-29T07:04:56+00:00",
    "e": "happy",
    "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
    "ba": r"\xbeef",
    "at": ["a,b", "NULL", ""],
    "ai": [5],
    "an": [1.5, 7],
    "ae": ["sad", "happy"],
    "au": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "atz": ["2024-02-29T10:00:00+00:00"],
}


@pytest.fixture(scope="module")
def own(stack_addresses: Addresses) -> Iterator[Way]:
    with way(stack_addresses, TABLES) as own:
        for row in ROWS:
            sql(own, f"INSERT INTO documents VALUES {row}")
        own.connect()
        yield own


@asynccontextmanager
async def directly(own: Way) -> AsyncIterator[PostgresCapture]:
    """The same table's changes, read from the log."""
    settings = CaptureSettings(url=own.postgres_url, mappings=(MAPPING,), slot=f"{own.name}_direct")
    async with open_postgres_capture(settings, Recorded(state=None, copied={}, identity=IDENTITY)) as capture:
        yield capture
    sql(own, "SELECT pg_drop_replication_slot(%s)", f"{own.name}_direct")


def change(own: Way) -> None:
    """Insert again what was copied, change what may be changed, and take some away."""
    for row in ROWS:
        moved = row.replace("'so-so'", "'happy'").replace("'sad', ''", "'sad', '\\x00'")
        sql(own, f"INSERT INTO documents VALUES {moved}")
    sql(own, "UPDATE documents SET ai = '{5}', b = NOT b")  # leaves the large value out
    sql(own, "UPDATE documents SET place = 3.00 WHERE how = 'happy' AND content = 'plain'")
    sql(own, "DELETE FROM documents WHERE how = 'so-so' AND content = 'plain'")


async def metadata(bench: Bench) -> dict[DocumentKey, Any]:
    """What stands in the index, by key."""
    return {each.key: each.metadata async for page in bench.index.manifests(TABLE) for each in page if not each.deleted}


async def test_both_captures_lead_to_the_same_index(own: Way) -> None:
    through_kafka, from_log = Bench(), Bench()
    async with directly(own) as capture:
        await from_log.indexer.apply(await copied_rows(capture), capture.rows)
        change(own)
        changes = [event for event in await events_now(capture) if not isinstance(event, Truncate)]
        await from_log.indexer.apply(changes, capture.rows)
    async with member(own, through_kafka, MAPPING) as worker:
        await worker.drain()
    assert await through_kafka.state() == await from_log.state()
    found = await metadata(through_kafka)
    assert found == await metadata(from_log)
    assert through_kafka.letters.letters == from_log.letters.letters == {}
    assert len(found) == 2 * len(ROWS) - 1
    assert {name: found[PLAIN][name] for name in EXPECTED} == EXPECTED
    assert found[PLAIN]["large"] == "\\x" + "0123456789abcdef" * 2000

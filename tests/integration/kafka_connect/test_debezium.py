"""`rtrag debezium` on a real Kafka Connect with a real PostgreSQL."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from integration.kafka_connect.conftest import FILE, Place, run


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


async def debezium(place: Place, *arguments: str) -> Ended:
    """Run a command about the place's connector."""
    command = [sys.executable, "-c", "from rtrag.entrypoints.cli.app import main; main()", "debezium", *arguments]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "--url", place.connect_url, "--name", place.name],
        capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "POSTGRES_URL": place.postgres_url},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


async def apply(place: Place, **changes: str) -> Ended:
    return await debezium(place, "apply", "--file", str(FILE), *place.changes(**changes))


async def test_a_connector_is_made_by_the_least_privileged_role_and_then_up_to_date(place: Place) -> None:
    first = await apply(place)
    assert (first.code, first.out.splitlines()) == (0, [f"{place.name} is made.", f"{place.name} runs."]), first.err
    second = await apply(place)
    assert second.out.splitlines() == [f"{place.name} is up to date.", f"{place.name} runs."]
    changed = await apply(place, poll_interval_ms="50")
    assert "~ poll.interval.ms: 5 -> 50" in changed.out
    found = json.loads((await debezium(place, "status", "--json")).out)
    assert (found["running"], len(found["parts"])) == (True, 2)


async def test_an_idle_database_releases_its_log_by_heartbeats_alone(place: Place) -> None:
    assert (await apply(place)).code == 0
    [(written,)] = await run(place.postgres_url, "SELECT pg_current_wal_lsn()")
    query = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{place.name}' AND confirmed_flush_lsn > '{written}'"
    async with asyncio.timeout(60):
        while not await run(place.postgres_url, query):
            await asyncio.sleep(0.1)


async def test_pausing_resuming_and_restarting_show_in_the_status(place: Place) -> None:
    assert (await apply(place)).code == 0
    assert (await debezium(place, "pause")).code == 0
    async with asyncio.timeout(60):
        while "PAUSED" not in (found := await debezium(place, "status")).out:
            await asyncio.sleep(0.1)
    assert found.code == 1
    assert (await apply(place)).code == 1
    assert (await debezium(place, "resume")).code == 0
    assert (await debezium(place, "restart")).code == 0
    assert (await debezium(place, "status")).code == 0


async def test_a_missing_publication_is_told_with_the_sql_that_makes_it(place: Place) -> None:
    ended = await apply(place, publication_name="none")
    assert ended.code == 1
    assert "Unable to create filtered publication none" in ended.err
    assert "CREATE PUBLICATION none FOR TABLE ONLY public.documents" in ended.err
    found = await debezium(place, "status")
    assert (found.code, "FAILED" in found.out, "CREATE PUBLICATION" in found.err) == (1, True, True)
    await run(place.postgres_url, "CREATE PUBLICATION none FOR TABLE ONLY public.documents")
    assert (await debezium(place, "restart", "--failed")).code == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database_port": "1"}, "database.port (127.0.0.1:1)"),
        ({"database_dbname": "none"}, "correct database.dbname (none)"),
        ({"snapshot_mode": "sometimes"}, "snapshot.mode"),
        ({"connector_class": "io.debezium.NoConnector"}, "plugin.path"),
    ],
)
async def test_what_the_connector_refuses_is_told_and_nothing_is_made(
    place: Place, changes: dict[str, str], words: str
) -> None:
    ended = await apply(place, **changes)
    assert (ended.code, words in ended.err) == (2, True), ended.err
    missing = await debezium(place, "status")
    assert (missing.code, "There is no connector" in missing.err) == (1, True)


async def test_a_slot_that_is_lost_is_told_and_made_anew_under_another_prefix(place: Place) -> None:
    assert (await apply(place)).code == 0
    assert (await debezium(place, "delete")).code == 0
    await run(place.postgres_url, f"SELECT pg_drop_replication_slot('{place.name}')")
    lost = await apply(place)
    assert (lost.code, "--drop-slot" in lost.err) == (1, True), lost.err
    dropped = await debezium(place, "delete", "--drop-slot", "--yes")
    assert (dropped.code, "topic.prefix" in dropped.err) == (0, True), dropped.err
    again = await apply(
        place, topic_prefix=f"{place.name}.2", notification_sink_topic_name=f"{place.name}.2.notifications"
    )
    assert again.code == 0, again.err


async def test_dropping_the_slot_asks_first(place: Place) -> None:
    assert (await apply(place)).code == 0
    assert (await debezium(place, "delete", "--drop-slot")).code == 1
    assert (await debezium(place, "status")).code == 0
    assert (await debezium(place, "delete", "--drop-slot", "--yes")).code == 0
    assert await run(place.postgres_url, f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{place.name}'") == []

"""What is delivered again, because the group was told nothing of it, changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.instance import kill, log_tail, spawn
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way

from application_bench import Bench
from integration.kafka_capture.members import member
from integration.kafka_capture.place import Place, instance_at, sql

DOCUMENTS = 30


@pytest.fixture(scope="module")
def own(stack_addresses: Addresses) -> Iterator[Way]:
    """A way with documents that were changed, deleted, renamed and truncated."""
    with way(stack_addresses) as own:
        sql(own, "INSERT INTO documents (id, content) VALUES ('gone', 'It is truncated.')")
        own.connect()
        sql(own, "TRUNCATE documents")
        insert = "INSERT INTO documents (id, content) SELECT 'doc-' || n, 'Text ' || n FROM generate_series(1, %s) n"
        sql(own, insert, DOCUMENTS)
        for version in range(5):
            sql(own, "UPDATE documents SET content = content || ', edited ' || %s", version)
        sql(own, "DELETE FROM documents WHERE id = 'doc-1'")
        sql(own, "UPDATE documents SET id = 'renamed' WHERE id = 'doc-2'")
        yield own


def state(place: Place) -> list[tuple[str, int, str, str]]:
    """Everything that answers show: documents with their versions, positions and texts."""
    _, answer = place.client.post("/query", {"query": "text edited", "page_size": 100})
    return sorted((each["id"], each["version"], each["position"], each["text"]) for each in answer["sources"])


def test_after_a_kill_between_flushes_everything_is_delivered_again(own: Way, tmp_path: Path) -> None:
    """It is flushed so rarely that nothing is durable, and the group told nothing, when the process is killed."""
    seldom = {"RTRAG_INDEX__FLUSH_SECONDS": "60", "RTRAG_SOURCE__OPTIONS": '{"session.timeout.ms": 6000}'}
    with instance_at(own, tmp_path, seldom) as place:
        place.settle()
        before = state(place)
        assert len(before) == DOCUMENTS - 1
        kill(place.instance.process, tmp_path, postgres=False)
    with instance_at(own, tmp_path) as place:
        place.settle()
        assert place.totals()["events"] >= DOCUMENTS * 6
        assert state(place) == before
        assert place.differences() == []


def test_a_new_index_is_refused_to_a_group_that_has_read_for_another(own: Way, tmp_path: Path) -> None:
    """Else it would count as complete, with nothing of what was read before in it."""
    group = {"RTRAG_SOURCE__GROUP": f"{own.name}-moved"}
    (tmp_path / "first").mkdir()
    with instance_at(own, tmp_path / "first", group) as place:
        place.settle()
    (tmp_path / "second").mkdir()
    process = spawn(tmp_path / "second", settings={**own.environment, **group})
    assert process.wait(60) == 2
    assert "has read the topics of epoch 1 before" in log_tail(tmp_path / "second")


async def test_a_second_delivery_writes_and_embeds_nothing(own: Way) -> None:
    bench = Bench()
    async with member(own, bench, group="first") as worker:
        events = await worker.drain()
    before, embedded = await bench.state(), len(bench.embedder.texts)
    assert embedded > 0
    async with member(own, bench, group="second") as worker:
        again = await worker.drain()
    assert sorted(map(repr, again)) == sorted(map(repr, events))
    assert await bench.state() == before
    assert len(bench.embedder.texts) == embedded

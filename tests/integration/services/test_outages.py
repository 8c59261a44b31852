"""What a service depends on goes away: which one is told, what can still be done is done, and it heals by itself."""

import httpx
import pytest

from integration.kafka.broker import Broker
from integration.services.place import Place
from integration.services.service import PATIENCE_SECONDS, Role, Service, spawn, until
from rtrag.entrypoints.stack.layout import Stack

NOBODY = "http://127.0.0.1:1"


def test_an_index_that_goes_away_is_named_by_both_and_comes_back_with_nothing_lost(
    place: Place, update: Service, query: Service
) -> None:
    if place.stand_in is None:
        pytest.skip("the server that QDRANT_URL names is not ours to stop")
    place.put("bridges", "Bridges are old.")
    assert "old" in query.shown("What are bridges?", place.now())["bridges"]
    place.stand_in.kill()
    try:
        for service in (query, update):
            await_problem(service, place.qdrant_url)
        status, problem = query.ask("What are bridges?")
        assert status == 503, problem
        place.put("bridges", "Bridges are painted.")
    finally:
        place.stand_in.start()
    for service in (query, update):
        service.await_ready()
    assert "painted" in query.shown("What are bridges?", place.now())["bridges"]


def test_a_connector_that_does_not_run_is_named_by_the_update_service_while_questions_are_answered(
    place: Place, update: Service, query: Service
) -> None:
    place.put("orchards", "Orchards bloom.")
    assert "bloom" in query.shown("What blooms?", place.now())["orchards"]
    connector = f"{place.way.stack.connect_url}/connectors/{place.way.name}"
    httpx.put(f"{connector}/pause").raise_for_status()
    try:
        await_problem(update, "Debezium does not confirm")
        assert "rtrag debezium status" in update.problems()[1]
        assert "bloom" in query.shown("What blooms?")["orchards"]
        assert query.problems()[0] == 200
    finally:
        httpx.put(f"{connector}/resume").raise_for_status()
    update.await_ready()


def test_a_kafka_that_goes_away_is_named_by_the_update_service_while_questions_are_answered(
    place: Place, update: Service, query: Service, running_stack: Stack
) -> None:
    place.put("harbours", "Harbours are calm.")
    assert "calm" in query.shown("What is calm?", place.now())["harbours"]
    broker = Broker(running_stack)
    broker.stop()
    try:
        await_problem(update, "Kafka")
        place.put("harbours", "Harbours are busy.")
        assert "calm" in query.shown("What is calm?")["harbours"]
        assert query.problems()[0] == 200
    finally:
        broker.start()
    update.await_ready()
    assert "busy" in query.shown("What is busy?", place.now())["harbours"]


def test_a_redis_that_goes_away_is_told_and_counted_and_stops_no_question(place: Place, query: Service) -> None:
    place.put("meadows", "Meadows are green.")
    token = place.now()
    assert "green" in query.shown("What is green?", token)["meadows"]
    assert query.get("/health")[1]["status"] == "ok"
    before = query.totals()["cache_errors"]
    place.redis.kill()
    try:
        for question in ("Which meadows are green?", "How green are meadows?"):
            status, answer = query.ask(question)
            assert (status, answer["memoised"]) == (200, False)
        assert "Redis" in " ".join(query.get("/health")[1]["problems"])
        assert query.problems()[0] == 200
        assert query.totals()["cache_errors"] > before
    finally:
        place.redis.start()
    until(lambda: query.get("/health")[1]["status"] == "ok", "Redis is back, with nobody asking", query.said)


def test_while_postgresql_is_away_from_it_a_query_service_answers_and_honours_the_token_of_a_document(
    place: Place, update: Service
) -> None:
    with place.service("query", POSTGRES_URL="postgresql://nobody@127.0.0.1:1/nothing") as query:
        query.await_ready()
        status, written = update.post(
            "/api/documents", {"id": "canals", "title": "Canals", "content": "Canals freeze."}
        )
        assert status == 201, written
        assert "freeze" in query.shown("What freezes?", written["token"])["canals"]


def test_a_query_service_begins_without_kafka_and_says_what_it_lacks(place: Place, query: Service) -> None:
    place.put("glaciers", "Glaciers melt.")
    assert "melt" in query.shown("What melts?", place.now())["glaciers"]
    with place.service("query", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1") as alone:
        alone.await_ready()
        assert "melt" in alone.shown("What melts?")["glaciers"]
        until(
            lambda: "dead letters" in " ".join(alone.get("/health")[1]["problems"]),
            "the letters are missed",
            alone.said,
        )


@pytest.mark.parametrize("role", ["update", "query"])
def test_a_service_that_finds_no_index_when_it_starts_names_it_and_ends(place: Place, role: Role) -> None:
    service = spawn(role, place.folder / f"{role}-without-index", {**place.settings, "QDRANT_URL": NOBODY})
    assert service.process.wait(PATIENCE_SECONDS) == 1
    assert NOBODY in service.log
    assert "Traceback" not in service.log


def await_problem(service: Service, named: str) -> None:
    """Until it is not ready, and says why."""
    until(lambda: named in service.problems()[1], f"{named!r} is among the problems", service.said)
    assert service.problems()[0] == 503

"""Update and query service as processes of their own: what one indexes, the other answers."""

from integration.services.place import LARGEST_DOCUMENT, Place
from integration.services.service import Service, until
from rtrag.domain.position import parse_lsn


def test_an_update_in_sql_is_answered_by_the_query_service(place: Place, query: Service) -> None:
    place.put("tides", "Tides follow the moon.")
    until(lambda: "tides" in query.shown("What follows the moon?"), "the new document is found", query.said)
    place.put("tides", "Tides follow the moon and, less, the sun.")
    until(lambda: "the sun" in query.shown("What follows the moon?")["tides"], "the new text is found", query.said)
    assert "the sun" in query.ask("What follows the moon?")[1]["answer"]


def test_the_token_of_a_write_at_the_update_service_is_honoured_by_the_query_service(
    place: Place, update: Service, query: Service
) -> None:
    for number in range(5):
        body = {"id": f"ferry-{number}", "title": "Ferries", "content": f"Ferry {number} leaves at dawn."}
        status, written = update.post("/api/documents", body)
        assert status == 201, written
        assert f"ferry-{number}" in query.shown(f"When does ferry {number} leave?", written["token"])


def test_a_bare_position_is_honoured_by_the_query_service(place: Place, update: Service, query: Service) -> None:
    place.put("glaciers", "Glaciers creep.")
    place.put("glaciers", "Glaciers creep and calve.")
    place.sql("DELETE FROM documents WHERE id = 'first'")
    token = place.now()
    status, answer = query.ask("What do glaciers do?", token)
    assert status == 200, answer
    assert "calve" in {source["id"]: source["text"] for source in answer["sources"]}["glaciers"]
    assert "first" not in {source["id"] for source in answer["sources"]}
    assert parse_lsn(answer["as_of"]["position"]) >= parse_lsn(token)
    assert answer["as_of"]["stale_reason"] is None


def test_a_position_that_is_not_reached_in_time_is_an_error_and_no_answer(query: Service) -> None:
    status, problem = query.ask("What do glaciers do?", "FFFF/0", wait_ms=100)
    assert status == 503, problem
    assert "FFFF/0" in problem["detail"]


def test_a_token_whose_document_is_a_dead_letter_is_told_by_the_query_service(
    place: Place, update: Service, query: Service
) -> None:
    much = "Whales sing. " * (LARGEST_DOCUMENT // 10)
    status, written = update.post("/api/documents", {"id": "whales", "title": "Whales", "content": much})
    assert status == 201, written
    status, problem = query.ask("What do whales do?", written["token"])
    assert status == 424, problem
    assert "whales" in problem["detail"]
    assert query.get("/health")[1]["dead_letters"] == 1
    place.put("whales", "Whales sing, in few words.")
    assert "few words" in query.shown("What do whales do?", written["token"])["whales"]
    until(lambda: query.get("/health")[1]["dead_letters"] == 0, "the letter is closed", query.said)


def test_a_truncated_table_is_empty_for_the_query_service(place: Place, update: Service, query: Service) -> None:
    place.put("deserts", "Deserts are dry.")
    assert "deserts" in query.shown("What is dry?", place.now())
    place.sql("TRUNCATE documents")
    assert query.shown("What is dry?", place.now()) == {}
    place.put("deserts", "Deserts are dry again.")
    assert "again" in query.shown("What is dry?", place.now())["deserts"]


def test_what_is_of_the_other_service_is_not_there(update: Service, query: Service) -> None:
    assert update.post("/query", {"query": "What is dry?"})[0] == 404
    for path in ("/api/documents", "/api/pipeline/status", "/api/dead-letters"):
        assert query.get(path)[0] == 404

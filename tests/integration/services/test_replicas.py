"""Several update services in one group, several query services: each change is read by one, and none is lost."""

from integration.services.load import Load, load
from integration.services.place import Place
from integration.services.service import Service, until


def newest(query: Service, load: Load, token: str) -> dict[str, str]:
    """What a query shows of the documents of a load that is not what was written last."""
    shown = query.shown(f"Report of {load.name_of_load}", token)
    return {
        key: shown.get(key, "nothing") for key, number in load.last.items()
        if f"Report {number} of" not in shown.get(key, "")
    }  # fmt: skip


def differences(update: Service) -> list[dict[str, str]]:
    """What tables and index differ in."""
    status, report = update.post("/api/verify", {"repair": False})
    assert status == 200, report
    return list(report["differences"])


def test_two_update_services_share_the_changes_and_documents_changed_often_end_newest(
    place: Place, update: Service, query: Service
) -> None:
    with load(place, "harvest") as harvest:
        harvest.more(100)
        with place.service("update") as second:
            before = update.totals()["events"]
            until(lambda: second.totals()["events"] > 50, "the second one reads changes", second.said)
            until(lambda: update.totals()["events"] > before + 50, "the first one reads changes too", update.said)
            harvest.more(100)
        harvest.more(100)  # after the second one has left the group
    assert newest(query, harvest, place.now()) == {}
    assert differences(update) == []


def test_an_update_service_killed_under_load_loses_nothing(place: Place, update: Service, query: Service) -> None:
    """Chunks of the batch that it had switched and not swept yet are removed by the other one, a little later."""
    with load(place, "voyage") as voyage:
        with place.service("update") as second:
            until(lambda: second.totals()["events"] > 50, "the second one reads changes", second.said)
            second.kill()
        voyage.more(300)
    assert newest(query, voyage, place.now()) == {}
    until(lambda: differences(update) == [], "table and index are the same", update.said)


def test_an_answer_of_one_query_service_is_remembered_for_another(place: Place, query: Service) -> None:
    question = "What do lighthouses do at night?"
    place.put("lighthouses", "Lighthouses shine at night.")
    token = place.now()
    status, first = query.ask(question, token)
    assert (status, first["memoised"]) == (200, False)
    with place.service("query") as second:
        second.await_ready()
        status, again = second.ask(question, token)
        assert (status, again["memoised"], again["answer"]) == (200, True, first["answer"])
        assert second.totals()["cache_hits"] >= 2  # the question's vector and the answer

"""Problems of the pipeline."""

from rtrag.application.problems import Problems


def test_a_problem_comes_into_the_log_when_it_is_new_and_when_it_is_gone() -> None:
    told: list[tuple[str, str | None]] = []
    problems = Problems(lambda topic, text: told.append((topic, text)))
    for text in ("away", "still away"):
        problems.set("source", text)
    assert problems.all() == ("still away",)
    for _ in range(2):
        problems.clear("source")
    assert told == [("source", "away"), ("source", None)]


def test_parts_set_and_clear_the_same_topic_without_knowing_of_each_other() -> None:
    told: list[tuple[str, str | None]] = []
    problems = Problems(lambda topic, text: told.append((topic, text)))
    second = problems.of("worker 2")
    problems.set("phase", "one copies")
    second.set("phase", "two copies")
    second.set("phase", "two catches up")
    assert problems.all() == ("one copies", "two catches up")
    problems.clear("phase")
    assert problems.all() == ("two catches up",)
    second.clear("phase")
    assert problems.all() == ()
    assert told == [
        ("phase", "one copies"),
        ("worker 2: phase", "two copies"),
        ("phase", None),
        ("worker 2: phase", None),
    ]

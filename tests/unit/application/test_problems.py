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

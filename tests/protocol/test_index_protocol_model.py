"""The model of the index protocol holds, and each of its guards is needed."""

import pytest

from protocol.index_protocol_model import SCENARIOS, Guard, check


@pytest.mark.parametrize("number", range(len(SCENARIOS)))
def test_every_interleaving_keeps_documents_whole_and_ends_in_the_newest(number: int) -> None:
    """All 730,568 states."""
    result = check(SCENARIOS[number])
    assert result.counter_example is None
    assert result.states == (464_858, 117_641, 110_617, 37_452)[number]


@pytest.mark.parametrize(
    ("without", "number", "problem"),
    [("cas", 0, "torn"), ("cas", 1, "torn"), ("floor", 2, "a truncated document is visible"), ("bound", 3, "torn")],
)
def test_without_any_one_of_the_guards_there_is_a_counter_example(without: Guard, number: int, problem: str) -> None:
    found = check(SCENARIOS[number], without).counter_example
    assert found is not None
    assert found.problem.startswith(problem)

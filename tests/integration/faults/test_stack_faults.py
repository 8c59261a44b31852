"""Parts of the stack are killed under load: nothing is lost, no answer is stale or torn, and nothing differs after."""

from collections.abc import Iterator

import pytest
from benchmarks.stack_faults import FAULTS, WRONG
from benchmarks.stack_load import Load, under_load

from rtrag.entrypoints.stack.layout import Stack


@pytest.fixture(scope="module")
def load(running_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """One instance for all faults, written to from the first to the last."""
    with under_load(running_stack, tmp_path_factory.mktemp("load")) as load:
        yield load


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_everything_written_is_visible_and_no_answer_was_wrong(load: Load, fault: str) -> None:
    found = load.through(FAULTS[fault])
    assert found["commits"] > 0
    assert sum(found["reads"]) > 0
    assert {name: found[name] for name in WRONG} == dict.fromkeys(WRONG, 0), found["examples"]

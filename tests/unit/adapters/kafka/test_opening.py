"""Whether an epoch goes on, begins, or cannot be right."""

from dataclasses import replace

import pytest

from rtrag.adapters.kafka.capture import Start, decide_opening
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.manifest import SourceState

TABLE = "public.documents"
STATE = SourceState(
    name="postgres",
    system_identifier="7",
    timeline=1,
    slot="debezium",
    epoch=2,
    durable_lsn=500,
    identity=ChunkingIdentity(chunker_version="1", model_id="m", dimensions=1),
)


def test_a_first_start_waits_for_all_rows() -> None:
    opening = decide_opening(Start(state=STATE, recorded=None, copied={TABLE: 0}))
    assert opening.copy
    assert not opening.lost


def test_a_restart_in_the_same_epoch_goes_on() -> None:
    opening = decide_opening(Start(state=STATE, recorded=STATE, copied={TABLE: 2}))
    assert not opening.copy


def test_a_restart_before_all_rows_have_come_goes_on_waiting_for_them() -> None:
    opening = decide_opening(Start(state=STATE, recorded=STATE, copied={TABLE: 1}))
    assert opening.copy
    assert not opening.lost


def test_a_raised_epoch_is_copied_and_says_that_history_was_lost() -> None:
    opening = decide_opening(Start(state=replace(STATE, epoch=3), recorded=STATE, copied={TABLE: 2}))
    assert opening.copy
    assert opening.lost
    assert TABLE in str(opening.reason)


def test_a_table_that_joins_an_epoch_whose_rows_have_come_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"public\.notes joined in epoch 2") as refused:
        decide_opening(Start(state=STATE, recorded=STATE, copied={TABLE: 2, "public.notes": 0}))
    assert "ends in 3" in refused.value.fix


def test_an_older_epoch_is_refused_with_the_prefix_to_set() -> None:
    with pytest.raises(ConfigurationError, match="epoch 1, but the index is at epoch 2") as refused:
        decide_opening(Start(state=replace(STATE, epoch=1), recorded=STATE, copied={TABLE: 2}))
    assert "ends in 3" in refused.value.fix


@pytest.mark.parametrize("changed", [{"system_identifier": "8"}, {"timeline": 2}])
def test_another_server_or_history_under_the_same_epoch_is_refused(changed: dict[str, str | int]) -> None:
    state = replace(STATE, **changed)  # type: ignore[arg-type]  # the cases above are right
    with pytest.raises(ConfigurationError, match="do not compare"):
        decide_opening(Start(state=state, recorded=STATE, copied={TABLE: 2}))


def test_another_server_is_welcome_with_a_raised_epoch() -> None:
    state = replace(STATE, epoch=3, system_identifier="8")
    assert decide_opening(Start(state=state, recorded=STATE, copied={TABLE: 2})).copy

"""Resume only if nothing can have been missed."""

from dataclasses import replace
from typing import Any

import pytest

from rtrag.adapters.postgres.opening import Copy, Found, Resume, decide_opening
from rtrag.adapters.postgres.replication import ServerIdentity
from rtrag.adapters.postgres.slot import SlotStatus
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.manifest import SourceState

STATE = SourceState(
    name="postgres",
    system_identifier="1",
    timeline=1,
    slot="rtrag",
    epoch=4,
    durable_lsn=1000,
    identity=ChunkingIdentity(chunker_version="1", model_id="m", dimensions=1),
)
SLOT = SlotStatus(name="rtrag", plugin="pgoutput", database="db", confirmed_lsn=900)
SERVER = ServerIdentity(system_identifier="1", timeline=1, flushed_lsn=2000, database="db")
FOUND = Found(
    recorded=STATE,
    copied={"public.a": 4},
    tables=("public.a",),
    unpublished={},
    server=SERVER,
    slot_name="rtrag",
    slot=SLOT,
)


def test_a_slot_at_or_behind_what_is_durable_resumes_there() -> None:
    assert decide_opening(FOUND) == Resume(epoch=4, lsn=1000)
    assert decide_opening(replace(FOUND, slot=replace(SLOT, confirmed_lsn=1000))) == Resume(epoch=4, lsn=1000)


def test_the_first_use_copies_without_a_loss_whatever_slot_is_there() -> None:
    for slot in (SLOT, None):
        decision = decide_opening(replace(FOUND, recorded=None, copied={}, slot=slot))
        assert isinstance(decision, Copy)
        assert (decision.epoch, decision.lost) == (1, False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"server": replace(SERVER, system_identifier="2")}, "another one"),
        ({"server": replace(SERVER, timeline=2)}, "timeline 2, before 1"),
        ({"server": replace(SERVER, flushed_lsn=999)}, "restored from an older state"),
        ({"slot": None}, "is gone"),
        ({"slot": replace(SLOT, wal_status="lost")}, "is lost"),
        ({"slot": replace(SLOT, invalidation_reason="idle_timeout")}, "idle_timeout"),
        ({"slot": replace(SLOT, confirmed_lsn=None)}, "is lost"),
        ({"slot": replace(SLOT, confirmed_lsn=1001)}, "ahead"),
        ({"recorded": replace(STATE, slot="other")}, "was 'other'"),
        ({"unpublished": {"public.a": "there was no publication"}}, "not published for a time: public.a"),
    ],
)
def test_lost_history_is_copied_anew_in_the_next_epoch_and_called_a_loss(changes: Any, reason: str) -> None:
    decision = decide_opening(replace(FOUND, **changes))
    assert isinstance(decision, Copy)
    assert (decision.epoch, decision.lost) == (5, True)
    assert reason in decision.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"copied": {"public.a": 3}}, "not completed"),
        ({"tables": ("public.a", "public.b")}, "new in the configuration: public.b"),
        ({"tables": ("public.a", "public.b"), "unpublished": {"public.b": "not in the publication"}}, "public.b"),
        ({"copied": {"public.a": 3}, "unpublished": {"public.a": "there was no publication"}}, "not completed"),
    ],
)
def test_tables_that_were_never_copied_in_full_are_copied_without_being_called_a_loss(
    changes: Any, reason: str
) -> None:
    decision = decide_opening(replace(FOUND, **changes))
    assert isinstance(decision, Copy)
    assert (decision.epoch, decision.lost) == (5, False)
    assert reason in decision.reason


@pytest.mark.parametrize("changes", [{"plugin": "wal2json"}, {"database": "other"}])
def test_a_slot_that_belongs_to_something_else_is_never_touched(changes: Any) -> None:
    with pytest.raises(ConfigurationError, match="belongs to something else"):
        decide_opening(replace(FOUND, slot=replace(SLOT, **changes)))

"""How long changes take, stage by stage."""

import time
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rtrag.application.stages import Moments, StageTimes
from rtrag.domain.change import Delete, Transit
from rtrag.domain.document import DocumentKey
from rtrag.domain.position import Position

NOW = time.time()


def change(name: str, committed: float | None, transit: Transit | None = None) -> Delete:
    moment = None if committed is None else datetime.fromtimestamp(committed, UTC)
    return Delete(position=Position(1, 1, 0), key=DocumentKey("public.a", (name,)), commit_time=moment, transit=transit)


def test_a_stage_is_the_time_since_the_one_before() -> None:
    times = StageTimes()
    one = change("a", NOW, Transit(captured=NOW + 0.010, stored=NOW + 0.012))
    times.observe([one], {one.key}, Moments(pulled=NOW + 0.015, embedded=NOW + 0.020, visible=NOW + 0.023))
    found = {stage: round(each.p50) for stage, each in times.over(3600).items()}
    assert found == {"captured": 10, "stored": 2, "pulled": 3, "embedded": 5, "visible": 3, "total": 23}


def test_a_change_that_comes_directly_has_no_stages_of_a_broker() -> None:
    times = StageTimes()
    one = change("a", NOW)
    times.observe([one], {one.key}, Moments(pulled=NOW + 0.001, embedded=NOW + 0.002, visible=NOW + 0.003))
    assert set(times.over(3600)) == {"pulled", "embedded", "visible", "total"}


def test_what_has_no_commit_time_or_did_not_become_visible_is_not_counted() -> None:
    times = StageTimes()
    copied, failed = change("a", None), change("b", NOW)
    times.observe([copied, failed], {copied.key}, Moments(pulled=NOW, embedded=NOW, visible=NOW))
    assert times.over(3600) == {}


def test_only_the_window_counts() -> None:
    times, now = StageTimes(), time.time()
    for age, name in ((1000, "old"), (1, "new")):
        one, at = change(name, now - age), now - age
        times.observe([one], {one.key}, Moments(pulled=at, embedded=at, visible=at))
    assert times.over(500)["total"].count == 1
    assert times.over(3600)["total"].count == 2


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5))
def test_clocks_that_disagree_never_make_a_time_negative(offsets: list[float]) -> None:
    times = StageTimes()
    captured, stored, pulled, embedded, visible = (NOW + offset for offset in offsets)
    one = change("a", NOW, Transit(captured=captured, stored=stored))
    times.observe([one], {one.key}, Moments(pulled=pulled, embedded=embedded, visible=visible))
    found = times.over(3600)
    assert all(each.max >= 0 for each in found.values())
    stages = sum(each.max for stage, each in found.items() if stage != "total")
    assert stages >= found["total"].max - 0.01

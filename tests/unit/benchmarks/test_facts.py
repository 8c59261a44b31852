"""Fact questions: the new value must be shown, by the right document, and the old one must not."""

from datetime import UTC, datetime

from benchmarks.facts import FactCheck, FactSchedule, checks_at_start, field_values
from benchmarks.history import Shown
from benchmarks.streams import Event, Fact, FactEntry

CHECK = FactCheck(question="What is the status?", field="Status", value="Final", previous="Draft", id="a")
FACT = Fact(
    qid="status",
    question="What is the status?",
    field="Status",
    history=(
        FactEntry(seq=0, value="Draft", id="a"),
        FactEntry(seq=3, value="Accepted", id="a"),
        FactEntry(seq=4, value="Final", id="a"),
        FactEntry(seq=9, value="Final", id="b"),
    ),
)


def shown(text: str, document: str = "a") -> Shown:
    return Shown(id=document, version=1, text=text)


def event(seq: int) -> Event:
    time = datetime(2024, 1, 1, tzinfo=UTC)
    return Event(seq=seq, commit="c", time=time, operation="update", id="a", old_id=None, title="", content="x")


def test_the_new_value_in_the_right_document_holds() -> None:
    assert CHECK.holds([shown("Title: X\nStatus: Final\nType: Y"), shown("Status: Draft", "other")])


def test_the_old_value_or_another_document_does_not_hold() -> None:
    assert not CHECK.holds([shown("Status: Draft")])
    assert not CHECK.holds([shown("Status: Final"), shown("Status: Draft")])
    assert not CHECK.holds([shown("Status: Final", "other")])
    assert not CHECK.holds([shown("It is final.")])


def test_a_value_is_compared_whole() -> None:
    check = FactCheck(question="Which?", field="Version", value="3.13", previous="3.1", id="a")
    assert check.holds([shown("Version: 3.13")])
    assert not check.holds([shown("Version: 3.1")])


def test_a_field_that_is_gone_must_not_be_shown() -> None:
    check = FactCheck(question="Which?", field="Topic", value=None, previous="Packaging", id="a")
    assert check.holds([shown("Status: Final")])
    assert not check.holds([shown("Topic: Packaging")])


def test_a_value_may_go_on_over_indented_lines() -> None:
    assert field_values("Author", "Author: A,\n        B\nType: T") == {"A, B"}


def test_each_change_is_asked_once_after_the_commit_that_leaves_it() -> None:
    schedule = FactSchedule([FACT])
    (check,) = schedule.after([event(3), event(4)])
    assert (check.value, check.previous, check.id) == ("Final", "Accepted", "a")
    (moved,) = schedule.after([event(9)])
    assert (moved.value, moved.previous, moved.id) == ("Final", None, "b")
    assert schedule.after([event(5)]) == []
    assert [check.value for check in checks_at_start([FACT])] == ["Draft"]

"""When to leave a server alone, and when to try it again."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.adapters.circuit_breaker import CircuitBreaker, Pauses

PAUSES = Pauses(first=1.0, longest=8.0)


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def breaker(clock: Clock, chance: float = 0.0) -> CircuitBreaker:
    return CircuitBreaker(PAUSES, clock, lambda: chance)


def test_closed_it_allows_everything(clock: Clock) -> None:
    found = breaker(clock)
    assert all(found.allows() for _ in range(5))
    assert found.closed
    assert found.succeeded() is None


def test_a_failure_opens_it_and_only_the_first_one_says_so(clock: Clock) -> None:
    found = breaker(clock)
    assert [found.failed(), found.failed(), found.failed()] == [True, False, False]
    assert not found.closed
    assert not found.allows()


def test_after_the_pause_one_attempt_is_allowed_and_no_other_beside_it(clock: Clock) -> None:
    found = breaker(clock)
    found.failed()
    clock.now += 1.0
    assert [found.allows(), found.allows()] == [True, False]


def test_an_attempt_that_never_reports_does_not_block_the_next(clock: Clock) -> None:
    found = breaker(clock)
    found.failed()
    clock.now += 1.0
    assert found.allows()
    clock.now += 2.0
    assert found.allows()


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success(clock: Clock) -> None:
    found = breaker(clock)
    assert attempts(found, clock, until=40.0) == [1.0, 3.0, 7.0, 15.0, 23.0, 31.0, 39.0]
    assert found.succeeded() == 40.0
    assert found.closed
    assert attempts(found, clock, until=4.0) == [1.0, 3.0]


@given(st.floats(0, 1, exclude_max=True))
def test_chance_shortens_a_pause_by_up_to_half(chance: float) -> None:
    clock = Clock()
    found = breaker(clock, chance)
    found.failed()
    clock.now += 0.499
    assert not found.allows()
    clock.now += 0.502
    assert found.allows()


def attempts(found: CircuitBreaker, clock: Clock, until: float) -> list[float]:
    """Seconds after a failure at which an attempt is allowed, asked every half second."""
    start = clock.now
    found.failed()
    allowed = []
    while clock.now < start + until:
        clock.now += 0.5
        if found.allows():
            allowed.append(clock.now - start)
    return allowed

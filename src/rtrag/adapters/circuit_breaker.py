"""Not asking again what has just failed: after a failure nothing is tried for a while, then one attempt at a time."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long nothing is tried, in seconds: ``first`` after a failure, doubled by each further one up to ``longest``.

    Each is shortened by chance, by up to half: many processes that lost the same server come back one by one.
    """

    first: float = 1.0
    longest: float = 30.0


class CircuitBreaker:
    """Closed at first. ``clock`` gives seconds that only grow, ``chance`` a number from 0 to below 1."""

    def __init__(self, pauses: Pauses, clock: Callable[[], float], chance: Callable[[], float] = random.random) -> None:
        self._pauses = pauses
        self._clock = clock
        self._chance = chance
        self._opened_at: float | None = None
        self._next_pause = pauses.first
        self._try_at = 0.0

    @property
    def closed(self) -> bool:
        """Whether everything is tried."""
        return self._opened_at is None

    def allows(self) -> bool:
        """Whether to try now. While open: True once a pause, so that whoever gets it is the only one to try.

        An attempt that never reports, because it was cancelled, therefore blocks nothing.
        """
        if self._opened_at is None:
            return True
        if self._clock() < self._try_at:
            return False
        self._pause()
        return True

    def failed(self) -> bool:
        """An attempt failed. Whether this is what opened it: attempts under way at that moment fail too."""
        if self._opened_at is not None:
            return False
        self._opened_at = self._clock()
        self._next_pause = self._pauses.first
        self._pause()
        return True

    def succeeded(self) -> float | None:
        """An attempt succeeded: closed. The seconds that it had been open, None if it had not."""
        if self._opened_at is None:
            return None
        lasted = self._clock() - self._opened_at
        self._opened_at = None
        return lasted

    def _pause(self) -> None:
        self._try_at = self._clock() + self._next_pause * (1 - self._chance() / 2)
        self._next_pause = min(self._next_pause * 2, self._pauses.longest)

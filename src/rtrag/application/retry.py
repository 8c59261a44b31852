"""Retrying what may pass: exponential backoff with jitter, or the delay that the dependency asks for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import stamina

from rtrag.domain.errors import TransientError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently: seconds; ``attempts`` None means for as long as it takes."""

    attempts: int | None = None
    wait_initial: float = 0.1
    wait_max: float = 30.0
    wait_jitter: float = 1.0


async def retrying(
    operation: Callable[[], Awaitable[Result]], policy: RetryPolicy, on_failure: Callable[[TransientError], None]
) -> Result:
    """Call until it succeeds or the attempts are used up; then the last TransientError is raised.

    ``on_failure`` hears of every failure before the wait.
    """

    def decide(error: Exception) -> bool | float | timedelta:
        if not isinstance(error, TransientError):
            return False
        on_failure(error)
        return True if error.retry_after is None else error.retry_after

    async for attempt in stamina.retry_context(
        on=decide,
        attempts=policy.attempts,
        timeout=None,
        wait_initial=policy.wait_initial,
        wait_max=policy.wait_max,
        wait_jitter=policy.wait_jitter,
    ):
        with attempt:
            return await operation()
    raise AssertionError("unreachable: the last attempt raises")

"""What a part of the stack is: how it is prepared, started, asked for its health, and stopped."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rtrag.adapters.postgres.server_account import Account


class NotHealthyError(Exception):
    """A part does not answer, or not as it should; the text says what it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A process to start.

    Attributes:
        environment: what it gets beside PATH, LANG and JAVA_HOME, and nothing else of ours.
        account: whom to run it as when we are root; None for ourselves.
    """

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A server of the stack.

    Attributes:
        prepare: makes files and says what to start. Raises CommandError.
        check: asks the server; returns a word on it for people. Raises NotHealthyError.
        complete: what is left to do once it is healthy; repeating it changes nothing. Raises CommandError.
        ports: everything it listens on, the one that is shown first.
        start_seconds: how long until it must be healthy.
        stops: signals in order, each with the seconds it is given.
        advice: what to do if it does not start.
    """

    name: str
    title: str
    ports: tuple[int, ...]
    prepare: Callable[[], Launch]
    check: Callable[[], str]
    complete: Callable[[], None] = lambda: None
    start_seconds: float = 60.0
    stops: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0))
    advice: str = "the log says why"


def base_environment() -> dict[str, str]:
    """What every part gets of our environment."""
    kept = {name: os.environ[name] for name in ("JAVA_HOME", "TZ") if name in os.environ}
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", **kept}

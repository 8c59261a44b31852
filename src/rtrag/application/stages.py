"""How long changes take on their way from the commit to being visible, stage by stage."""

import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from rtrag.domain.change import DocumentChange
from rtrag.domain.document import DocumentKey

Stage: TypeAlias = Literal["captured", "stored", "pulled", "embedded", "visible", "total"]
REMEMBERED: Final = 20_000
WINDOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """When a batch was pulled, embedded (planned before that), and visible: Unix seconds."""

    pulled: float
    embedded: float
    visible: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds of one stage over the changes of a window."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float


class StageTimes:
    """Remembers the last changes. A stage is the time since the one before it; ``total`` is from commit to visible.

    ``captured`` and ``stored`` are Debezium's and Kafka's word, and missing where changes come directly. The clocks
    of several machines are only as close as they are kept: what would be negative counts as 0.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[float, Mapping[Stage, float]]] = deque(maxlen=REMEMBERED)

    def observe(self, changes: Iterable[DocumentChange], visible: Collection[DocumentKey], moments: Moments) -> None:
        """These changes of the stream came in one batch; of those that became visible the times are kept."""
        for change in changes:
            if change.commit_time is not None and change.key in visible:
                self._recent.append((moments.visible, _stages(change, change.commit_time.timestamp(), moments)))

    def over(self, seconds: float = WINDOW_SECONDS) -> Mapping[Stage, Times]:
        """Each stage over the changes of the last ``seconds``, as far as they are remembered."""
        since = time.time() - seconds
        recent = [times for visible, times in self._recent if visible >= since]
        found: dict[Stage, Times] = {}
        for stage in get_args(Stage):
            values = sorted(times[stage] for times in recent if stage in times)
            if values:
                found[stage] = _times(values)
        return found


def _stages(change: DocumentChange, committed: float, moments: Moments) -> Mapping[Stage, float]:
    transit = change.transit
    reached: list[tuple[Stage, float]] = (
        []
        if transit is None
        else [
            ("captured", transit.captured),
            ("stored", transit.stored),
        ]
    )
    reached += [("pulled", moments.pulled), ("embedded", moments.embedded), ("visible", moments.visible)]
    times: dict[Stage, float] = {}
    before = committed
    for stage, moment in reached:
        times[stage] = max(0.0, moment - before)
        before = max(before, moment)
    times["total"] = max(0.0, moments.visible - committed)
    return times


def _times(values: Sequence[float]) -> Times:
    """``values`` in seconds, sorted, at least one."""

    def at(share: float) -> float:
        return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 3)

    return Times(count=len(values), p50=at(0.5), p95=at(0.95), p99=at(0.99), max=round(values[-1] * 1000, 3))

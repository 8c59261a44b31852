"""The recent points: those that were decoded or written lately.

Reading a payload out of Edge and decoding it takes 25 to 40 microseconds a point, most of a search that over-fetches;
the search itself needs 0.3 ms. This process is the only writer, so what it remembers is never stale as long as it
is told of what it writes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Decoded = TypeVar("Decoded")


class RecentPoints(Generic[Decoded]):
    """A bounded memory of decoded points by id; those read first go first."""

    def __init__(self, limit: int, load: Callable[[Sequence[str]], Mapping[str, Decoded]]) -> None:
        self._limit = limit
        self._load = load
        self._points: dict[str, Decoded] = {}

    def get(self, ids: Iterable[str]) -> Mapping[str, Decoded]:
        """Points by id, those that exist; what is not remembered is loaded in one call."""
        wanted = dict.fromkeys(ids)
        found = {point_id: self._points[point_id] for point_id in wanted if point_id in self._points}
        if len(found) < len(wanted):
            loaded = self._load([each for each in wanted if each not in found])
            self.remember(loaded)
            found.update(loaded)
        return found

    def remember(self, points: Mapping[str, Decoded]) -> None:
        """These points are so now."""
        self._points.update(points)
        while len(self._points) > self._limit:
            del self._points[next(iter(self._points))]

    def forget(self, ids: Iterable[str]) -> None:
        """These points were written or deleted."""
        for point_id in ids:
            self._points.pop(point_id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._points.clear()

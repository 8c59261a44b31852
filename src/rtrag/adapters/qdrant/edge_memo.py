"""Chunk points decoded lately.

Reading a payload out of Edge and decoding it takes 25 microseconds a hit, most of a search that over-fetches; the
search itself needs 0.3 ms. This process is the only writer, so what it remembers is never stale as long as it
forgets what it writes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from rtrag.domain.manifest import ChunkPoint


class ChunkMemo:
    """A bounded memory of chunk points without vectors; the oldest go first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._points: dict[str, ChunkPoint] = {}

    def get(
        self, ids: Iterable[str], load: Callable[[Sequence[str]], Sequence[ChunkPoint]]
    ) -> Mapping[str, ChunkPoint]:
        """Points by id, those that exist; what is not remembered is loaded in one call."""
        wanted = dict.fromkeys(ids)
        found = {chunk_id: self._points[chunk_id] for chunk_id in wanted if chunk_id in self._points}
        if len(found) < len(wanted):
            loaded = {point.id: point for point in load([each for each in wanted if each not in found])}
            self._points.update(loaded)
            found.update(loaded)
            for chunk_id in list(self._points)[: max(0, len(self._points) - self._limit)]:
                del self._points[chunk_id]
        return found

    def forget(self, ids: Iterable[str]) -> None:
        """These points were written or deleted."""
        for chunk_id in ids:
            self._points.pop(chunk_id, None)

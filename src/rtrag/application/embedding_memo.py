"""The embedding memo: vectors by fingerprint, so that moves, copies, renames and reverts embed nothing."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from rtrag.domain.chunk import Vector


class EmbeddingMemo:
    """The most recently used vectors, at most ``entries`` of them."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def find(self, fingerprints: Iterable[str]) -> dict[str, Vector]:
        """The vectors that are known."""
        found = {}
        for fingerprint in fingerprints:
            vector = self._vectors.get(fingerprint)
            if vector is not None:
                self._vectors.move_to_end(fingerprint)
                found[fingerprint] = vector
        return found

    def remember(self, vectors: Mapping[str, Vector]) -> None:
        """Keep these vectors, forgetting the least recently used beyond the bound."""
        for fingerprint, vector in vectors.items():
            self._vectors[fingerprint] = vector
            self._vectors.move_to_end(fingerprint)
        while len(self._vectors) > self._entries:
            self._vectors.popitem(last=False)

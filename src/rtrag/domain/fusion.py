"""Joining the hits of two searches by relative score: min-max per list and question, weighted.

After S. Bruch, S. Gai, A. Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (ACM TOIS 42, 2023): it
keeps what rank fusion throws away, how much better one hit is than the next.
"""

from collections.abc import Sequence

from rtrag.domain.retrieval import Candidates, Hit

DENSE_WEIGHT = 0.3
DEPTH = 100  # candidates to ask each search for


def fuse(
    candidates: Candidates, *, dense_weight: float, limit: int, depth: int | None = None
) -> tuple[tuple[Hit, float], ...]:
    """The best ``limit`` hits of both lists, each chunk once, with scores between 0 and 1, best first.

    A list's best hit counts 1 and its last 0; a hit that a list lacks gets 0 from it (front matter, which only words
    can find, gets its whole score from them), and a list whose scores are all equal counts 1 throughout. A weight of
    0 or 1 leaves the hits of one list, in its order. ``depth`` is how many hits each search was asked for: a shorter
    lexical list holds every chunk that shares a word with the question, so that its scores are measured from 0, not
    from its last hit. Equal scores are ordered by chunk id.

    Raises ValueError for a weight outside 0 to 1.
    """
    if not 0.0 <= dense_weight <= 1.0:
        raise ValueError(f"the dense weight must lie between 0 and 1, not {dense_weight}")
    complete = depth is not None and len(candidates.lexical) < depth
    weighted = (
        (candidates.dense, dense_weight, None),
        (candidates.lexical, 1.0 - dense_weight, 0.0 if complete else None),
    )
    hits: dict[str, Hit] = {}
    scores: dict[str, float] = {}
    for found, weight, floor in weighted:
        if weight == 0.0:
            continue
        for hit, relative in zip(found, _relative(found, floor), strict=True):
            hits.setdefault(hit.chunk_id, hit)
            # Front matter has no vector: it is not the worse for a list that it cannot be in.
            share = 1.0 if hit.kind == "front_matter" else weight
            scores[hit.chunk_id] = scores.get(hit.chunk_id, 0.0) + share * relative
    order = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
    return tuple((hits[chunk_id], min(1.0, scores[chunk_id])) for chunk_id in order[:limit])


def _relative(found: Sequence[Hit], floor: float | None) -> list[float]:
    if not found:
        return []
    highest = max(hit.score for hit in found)
    lowest = min(hit.score for hit in found)
    if floor is not None:
        lowest = min(floor, lowest)
    width = highest - lowest
    if width <= 0.0:
        return [1.0] * len(found)
    return [(hit.score - lowest) / width for hit in found]

"""Joining the hits of two searches by relative score, weighted.

After S. Bruch, S. Gai, A. Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (ACM TOIS 42, 2023): it
keeps what rank fusion throws away, how much better one hit is than the next, and knows the least score there can be.
"""

from collections.abc import Mapping

from rtrag.domain.chunk import is_front_matter
from rtrag.domain.retrieval import Candidates, Hit

DENSE_WEIGHT = 0.25
DEPTH = 120  # candidates to ask each search for


def fuse(candidates: Candidates, *, dense_weight: float, limit: int, depth: int | None = None) -> tuple[Hit, ...]:
    """The best ``limit`` hits of both lists, each chunk once, with scores between 0 and 1, best first.

    Dense scores are measured from the list's last hit to its best, lexical ones from 0, which is what a chunk without
    a word of the question scores, to the best. A hit that a list lacks scores no higher than the list's last one, and
    gets that: nothing from the dense list, nor from a lexical list that is complete because it is shorter than
    ``depth``, the number of hits each search was asked for. Front matter, which only words can find, gets its whole
    score from them. A weight of 0 or 1 leaves the hits of one list, in its order. Equal scores are ordered by chunk id.

    Raises ValueError for a weight outside 0 to 1.
    """
    if not 0.0 <= dense_weight <= 1.0:
        raise ValueError(f"the dense weight must lie between 0 and 1, not {dense_weight}")
    lexical_weight = 1.0 - dense_weight
    dense = _weighted(candidates.dense, dense_weight, from_last=True)
    scores = _weighted(candidates.lexical, lexical_weight, from_last=False)
    complete = depth is not None and len(candidates.lexical) < depth
    unlisted = 0.0 if complete or not scores else min(scores.values())
    if lexical_weight:
        # Front matter has no vector: it is not the worse for a list that it cannot be in.
        scores |= {header: scores[header] / lexical_weight for header in filter(is_front_matter, scores)}
    get = scores.get
    scores |= {chunk_id: score + get(chunk_id, unlisted) for chunk_id, score in dense.items()}
    return tuple([Hit(chunk_id, min(1.0, score)) for chunk_id, score in _best(scores, limit)])


def _best(scores: Mapping[str, float], limit: int) -> list[tuple[str, float]]:
    """The highest scores; only what can be among them is sorted by id as well."""
    entries = list(scores.items())
    if 0 < limit < len(entries):
        least = sorted(scores.values(), reverse=True)[limit - 1]
        entries = [entry for entry in entries if entry[1] >= least]
    entries.sort(key=lambda entry: (-entry[1], entry[0]))
    return entries[:limit]


def _weighted(found: Mapping[str, float], weight: float, *, from_last: bool) -> dict[str, float]:
    """Scores between 0 and the weight, measured from the last hit or from 0; nothing for a weight of 0."""
    if not found or not weight:
        return {}
    highest = max(found.values())
    lowest = min(found.values()) if from_last else 0.0
    if highest <= lowest:
        return dict.fromkeys(found, weight)
    factor = weight / (highest - lowest)
    return {chunk_id: (score - lowest) * factor for chunk_id, score in found.items()}

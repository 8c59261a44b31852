"""Fusion by relative score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.fusion import fuse
from rtrag.domain.retrieval import Candidates, Hit


def body(name: str) -> str:
    return f"{name:0<14}5"  # the digit of a body chunk


def hits(**scores: float) -> dict[str, float]:
    return {body(name): score for name, score in scores.items()}


def ids(fused: tuple[Hit, ...]) -> list[str]:
    return [found.chunk_id for found in fused]


def scores_of(fused: tuple[Hit, ...]) -> dict[str, float]:
    return {found.chunk_id.rstrip("05"): round(found.score, 9) for found in fused}


def hit_lists(least: int) -> st.SearchStrategy[dict[str, float]]:
    return st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(least, 3000), max_size=12).map(
        lambda scores: {
            body(name): score / 100 for name, score in sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        }
    )


candidates = st.builds(Candidates, dense=hit_lists(-1000), lexical=hit_lists(0))  # BM25 is never negative
weights = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0])


@given(candidates, weights)
def test_every_chunk_comes_once_with_a_score_between_0_and_1_best_first(found: Candidates, weight: float) -> None:
    fused = fuse(found, dense_weight=weight, limit=100)
    scores = [found.score for found in fused]
    assert len(set(ids(fused))) == len(fused)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert scores == sorted(scores, reverse=True)


@given(candidates)
def test_a_weight_of_one_or_zero_gives_one_list_alone_in_its_order(found: Candidates) -> None:
    assert ids(fuse(found, dense_weight=1.0, limit=100)) == list(found.dense)
    assert ids(fuse(found, dense_weight=0.0, limit=100)) == list(found.lexical)


@given(candidates, weights, st.integers(0, 30))
def test_a_limit_cuts_the_end_off_and_changes_nothing_else(found: Candidates, weight: float, limit: int) -> None:
    assert fuse(found, dense_weight=weight, limit=limit) == fuse(found, dense_weight=weight, limit=100)[:limit]


@given(candidates, weights, st.randoms(use_true_random=False))
def test_the_order_in_which_hits_arrive_does_not_matter(found: Candidates, weight: float, random: object) -> None:
    dense, lexical = list(found.dense.items()), list(found.lexical.items())
    random.shuffle(dense)  # type: ignore[attr-defined]  # hypothesis types it as object
    random.shuffle(lexical)  # type: ignore[attr-defined]  # hypothesis types it as object
    shuffled = Candidates(dense=dict(dense), lexical=dict(lexical))
    expected = fuse(found, dense_weight=weight, limit=100)
    assert fuse(shuffled, dense_weight=weight, limit=100) == expected


@given(candidates, weights, st.sampled_from([0.01, 1.0, 50.0]))
def test_the_scale_of_an_engine_does_not_matter(found: Candidates, weight: float, scale: float) -> None:
    scaled = {chunk_id: score * scale for chunk_id, score in found.lexical.items()}
    moved = Candidates(dense=found.dense, lexical=scaled)
    before = scores_of(fuse(found, dense_weight=weight, limit=100))
    after = scores_of(fuse(moved, dense_weight=weight, limit=100))
    assert after == pytest.approx(before)


def test_scores_are_weighted_sums_of_relative_scores() -> None:
    found = Candidates(dense=hits(a=0.9, b=0.7, c=0.6), lexical=hits(b=12.0, d=3.0))
    scores = scores_of(fuse(found, dense_weight=0.4, limit=10, depth=50))
    assert scores == pytest.approx({"a": 0.4, "b": 0.4 / 3 + 0.6, "c": 0.0, "d": 0.15})


def test_what_a_full_lexical_list_lacks_counts_as_its_last_hit() -> None:
    found = Candidates(dense=hits(a=0.9, b=0.7), lexical=hits(b=12.0, d=3.0))
    scores = scores_of(fuse(found, dense_weight=0.4, limit=10, depth=2))
    assert scores == pytest.approx({"a": 0.4 + 0.6 * 0.25, "b": 0.6, "d": 0.15})


def test_equal_scores_in_a_list_count_fully() -> None:
    found = Candidates(dense=hits(a=0.5), lexical=hits(b=3.0, c=3.0))
    assert scores_of(fuse(found, dense_weight=0.25, limit=10, depth=9)) == {"b": 0.75, "c": 0.75, "a": 0.25}


def test_front_matter_is_not_the_worse_for_having_no_vector() -> None:
    header = body("h")[:-1] + "8"
    found = Candidates(dense=hits(a=0.9, b=0.2), lexical={**hits(a=10.0), header: 8.0, **hits(b=1.0)})
    scores = [round(each.score, 9) for each in fuse(found, dense_weight=0.3, limit=10, depth=9)]
    assert scores == [1.0, 0.8, 0.07]


def test_a_weight_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        fuse(Candidates(), dense_weight=1.5, limit=1)

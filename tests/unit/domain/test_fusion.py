"""Fusion by relative score."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.domain.document import DocumentKey
from rtrag.domain.fusion import fuse
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Candidates, Hit


def hit(name: str, score: float) -> Hit:
    return Hit(
        chunk_id=name,
        key=DocumentKey("public.documents", (name,)),
        text=name,
        title="",
        heading_path=(),
        kind="body",
        position=Position(1, 1, 0),
        score=score,
    )


def ids(fused: tuple[tuple[Hit, float], ...]) -> list[str]:
    return [found.chunk_id for found, _ in fused]


hit_lists = st.dictionaries(
    st.sampled_from([f"c{number}" for number in range(12)]), st.integers(-1000, 3000), max_size=12
).map(
    lambda scores: tuple(
        hit(name, score / 100) for name, score in sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    )
)
candidates = st.builds(Candidates, dense=hit_lists, lexical=hit_lists)
weights = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0])


@given(candidates, weights)
def test_every_chunk_comes_once_with_a_score_between_0_and_1_best_first(found: Candidates, weight: float) -> None:
    fused = fuse(found, dense_weight=weight, limit=100)
    scores = [score for _, score in fused]
    assert len(set(ids(fused))) == len(fused)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert scores == sorted(scores, reverse=True)


@given(candidates)
def test_a_weight_of_one_or_zero_gives_one_list_alone_in_its_order(found: Candidates) -> None:
    assert ids(fuse(found, dense_weight=1.0, limit=100)) == [item.chunk_id for item in found.dense]
    assert ids(fuse(found, dense_weight=0.0, limit=100)) == [item.chunk_id for item in found.lexical]


@given(candidates, weights, st.integers(0, 30))
def test_a_limit_cuts_the_end_off_and_changes_nothing_else(found: Candidates, weight: float, limit: int) -> None:
    assert fuse(found, dense_weight=weight, limit=limit) == fuse(found, dense_weight=weight, limit=100)[:limit]


@given(candidates, weights, st.randoms(use_true_random=False))
def test_the_order_in_which_hits_arrive_does_not_matter(found: Candidates, weight: float, random: object) -> None:
    dense, lexical = list(found.dense), list(found.lexical)
    random.shuffle(dense)  # type: ignore[attr-defined]  # hypothesis types it as object
    random.shuffle(lexical)  # type: ignore[attr-defined]  # hypothesis types it as object
    shuffled = Candidates(dense=tuple(dense), lexical=tuple(lexical))
    expected = [(found.chunk_id, score) for found, score in fuse(found, dense_weight=weight, limit=100)]
    assert [(item.chunk_id, score) for item, score in fuse(shuffled, dense_weight=weight, limit=100)] == expected


@given(candidates, weights, st.sampled_from([0.01, 1.0, 50.0]), st.sampled_from([0, 3]))
def test_the_scale_of_an_engine_does_not_matter(found: Candidates, weight: float, scale: float, shift: int) -> None:
    moved = Candidates(
        dense=found.dense, lexical=tuple(hit(item.chunk_id, item.score * scale + shift) for item in found.lexical)
    )
    before = {item.chunk_id: score for item, score in fuse(found, dense_weight=weight, limit=100)}
    after = {item.chunk_id: score for item, score in fuse(moved, dense_weight=weight, limit=100)}
    assert after == pytest.approx(before)


def test_scores_are_weighted_sums_of_relative_scores() -> None:
    found = Candidates(dense=(hit("a", 0.9), hit("b", 0.7), hit("c", 0.5)), lexical=(hit("b", 12.0), hit("d", 2.0)))
    scores = {item.chunk_id: score for item, score in fuse(found, dense_weight=0.4, limit=10)}
    assert scores == pytest.approx({"a": 0.4, "b": 0.4 * 0.5 + 0.6, "c": 0.0, "d": 0.0})


def test_equal_scores_in_a_list_count_fully() -> None:
    found = Candidates(dense=(hit("a", 0.5),), lexical=(hit("b", 3.0), hit("c", 3.0)))
    assert [(item.chunk_id, score) for item, score in fuse(found, dense_weight=0.25, limit=10)] == [
        ("b", 0.75),
        ("c", 0.75),
        ("a", 0.25),
    ]


def test_a_lexical_list_that_is_complete_is_measured_from_zero() -> None:
    found = Candidates(dense=(hit("x", 0.9), hit("b", 0.1)), lexical=(hit("a", 5.0), hit("b", 4.5)))
    assert ids(fuse(found, dense_weight=0.3, limit=3, depth=50))[:2] == ["a", "b"]
    assert ids(fuse(found, dense_weight=0.3, limit=3, depth=2))[:2] == ["a", "x"]


def test_front_matter_is_not_the_worse_for_having_no_vector() -> None:
    header = replace(hit("h", 8.0), kind="front_matter")
    found = Candidates(dense=(hit("a", 0.9), hit("b", 0.2)), lexical=(hit("a", 9.0), header, hit("b", 1.0)))
    scores = {item.chunk_id: score for item, score in fuse(found, dense_weight=0.3, limit=10)}
    assert scores == pytest.approx({"a": 1.0, "h": 7 / 8, "b": 0.0})


def test_a_weight_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        fuse(Candidates(), dense_weight=1.5, limit=1)

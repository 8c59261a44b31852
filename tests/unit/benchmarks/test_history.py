"""The check that the benchmarks rest on: it passes what is right and finds what is wrong."""

import itertools

import pytest
from benchmarks.history import Change, History, Observation, Shown, Tally, joined
from hypothesis import given
from hypothesis import strategies as st

FIRST, SECOND = "alpha one. beta one. gamma one.", "alpha two. beta one. gamma two."


def history_of_two_versions() -> History:
    """Version 1 in transaction 0 (LSN 100), version 2 in transaction 1 (LSN 200)."""
    history = History()
    history.seal(history.begin([Change(id="a", version=1, content=FIRST)]), 100)
    history.seal(history.begin([Change(id="a", version=2, content=SECOND)]), 200)
    return history


def seen(
    *shown: Shown,
    floor: int = 0,
    begun: int = 1,
    as_of: int = 150,
    token: int | None = None,
    expected: str | None = None,
) -> Observation:
    return Observation(query="q", floor=floor, begun=begun, as_of=as_of, shown=shown, token=token, expected=expected)


def piece(text: str, version: int = 1, ordinal: int | None = None, document: str = "a") -> Shown:
    return Shown(id=document, version=version, text=text, ordinal=ordinal)


def kinds(history: History, observation: Observation) -> list[str]:
    return [violation.kind for violation in history.check(observation)]


def test_either_version_is_right_while_the_change_is_on_its_way() -> None:
    history = history_of_two_versions()
    assert kinds(history, seen(piece("alpha one."))) == []
    assert kinds(history, seen(piece("alpha two.", 2))) == []


def test_text_of_another_version_is_torn() -> None:
    assert kinds(history_of_two_versions(), seen(piece("alpha one.", 2))) == ["torn"]


def test_a_version_that_never_was_is_torn() -> None:
    assert kinds(history_of_two_versions(), seen(piece("alpha two.", 3))) == ["torn"]
    assert kinds(history_of_two_versions(), seen(piece("alpha", 1, document="unknown"))) == ["torn"]


def test_two_versions_of_one_document_in_one_result_are_torn() -> None:
    assert kinds(history_of_two_versions(), seen(piece("alpha one."), piece("gamma two.", 2))) == ["torn"]


def test_pieces_that_no_single_incarnation_holds_are_torn() -> None:
    history = History()
    for lsn, content in ((100, "one"), (200, None), (300, "two")):
        version = 1 if content else None
        history.seal(history.begin([Change(id="a", version=version, content=content)]), lsn)
    assert kinds(history, seen(piece("one"), piece("two"), begun=2, as_of=50)) == ["torn"]


def test_a_version_superseded_by_a_transaction_known_to_be_visible_is_stale() -> None:
    assert kinds(history_of_two_versions(), seen(piece("alpha one."), floor=1)) == ["stale"]


def test_an_answer_is_held_to_its_own_position() -> None:
    history = history_of_two_versions()
    assert kinds(history, seen(piece("alpha one."), as_of=199)) == []
    assert kinds(history, seen(piece("alpha one."), as_of=200)) == ["stale"]


def test_a_deleted_document_is_stale_once_the_delete_is_visible() -> None:
    history = history_of_two_versions()
    history.seal(history.begin([Change(id="a", version=None, content=None)]), 300)
    assert kinds(history, seen(piece("alpha two.", 2), floor=1, begun=2, as_of=250)) == []
    assert kinds(history, seen(piece("alpha two.", 2), floor=2, begun=2, as_of=250)) == ["stale"]


def test_an_answer_below_its_token_is_stale() -> None:
    assert kinds(history_of_two_versions(), seen(as_of=150, token=200)) == ["stale"]
    assert kinds(history_of_two_versions(), seen(as_of=200, token=200)) == []


def test_a_sentence_that_stands_all_the_while_must_be_found() -> None:
    history = history_of_two_versions()
    assert kinds(history, seen(piece("alpha one."), expected="alpha one.", begun=0)) == []
    assert kinds(history, seen(piece("gamma one."), expected="alpha one.", begun=0)) == ["missing"]


def test_a_sentence_that_goes_or_comes_meanwhile_may_be_missing() -> None:
    history = history_of_two_versions()
    assert kinds(history, seen(expected="alpha one.", floor=0, begun=1)) == []
    assert kinds(history, seen(expected="alpha two.", floor=0, begun=1)) == []
    assert kinds(history, seen(expected="alpha two.", floor=1, begun=1)) == ["missing"]


def test_a_sentence_across_two_neighbouring_sources_is_found_and_across_a_gap_is_not() -> None:
    history = history_of_two_versions()
    sentence = "one. beta"
    near = (piece("beta one.", ordinal=1), piece("alpha one. ", ordinal=0))
    apart = (piece("beta one.", ordinal=2), piece("alpha one. ", ordinal=0))
    assert kinds(history, seen(*near, expected=sentence, begun=0)) == []
    assert kinds(history, seen(*apart, expected=sentence, begun=0)) == ["missing"]


def test_what_an_aborted_transaction_wrote_is_torn_and_what_it_would_have_ended_stands() -> None:
    history = history_of_two_versions()
    history.abort(history.begin([Change(id="a", version=3, content="never")]))
    assert kinds(history, seen(piece("never", 3))) == ["torn"]
    assert [stint.version for stint in history.current()] == [2]
    assert kinds(history, seen(piece("alpha two.", 2), floor=1, as_of=999)) == []


def test_a_sealed_transaction_cannot_be_aborted() -> None:
    with pytest.raises(ValueError, match="only the newest open transaction"):
        history_of_two_versions().abort(1)


def test_a_result_is_not_judged_before_its_transactions_are_sealed() -> None:
    history = history_of_two_versions()
    history.begin([Change(id="a", version=3, content="open")])
    with pytest.raises(ValueError, match="not sealed"):
        history.check(seen(piece("open", 3), begun=2))


def test_versions_replaced_inside_one_transaction_may_be_seen_until_it_is_visible() -> None:
    history = History()
    number = history.begin([Change(id="a", version=1, content="first"), Change(id="a", version=2, content="then")])
    history.seal(number, 100)
    assert kinds(history, seen(piece("first"), floor=-1, begun=0, as_of=99)) == []
    assert kinds(history, seen(piece("first"), floor=0, begun=0, as_of=99)) == ["stale"]


@given(cuts=st.lists(st.integers(0, len(FIRST)), max_size=6), data=st.data())
def test_any_slices_of_the_current_version_pass_and_any_foreign_piece_does_not(
    cuts: list[int], data: st.DataObject
) -> None:
    history = history_of_two_versions()
    bounds = sorted({0, *cuts, len(SECOND)})
    slices = [piece(SECOND[left:right], 2, place) for place, (left, right) in enumerate(itertools.pairwise(bounds))]
    assert kinds(history, seen(*slices, floor=1, as_of=200)) == []
    assert "".join(joined(slices)).replace(" ", "") == SECOND.replace(" ", "")
    foreign = data.draw(st.sampled_from(["alpha one.", "gamma one.", "delta"]))
    assert kinds(history, seen(*slices, piece(foreign, 2), floor=1, as_of=200)) == ["torn"]


def test_a_tally_counts_reads_and_kinds() -> None:
    history, tally, other = history_of_two_versions(), Tally(), Tally()
    tally.add(history.check(seen(piece("alpha one."), floor=1)))
    other.add(history.check(seen(piece("delta"))))
    other.add([])
    tally.merge(other)
    assert (tally.reads, dict(tally.counts), len(tally.examples)) == (3, {"stale": 1, "torn": 1}, 2)

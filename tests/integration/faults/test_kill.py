"""The system survives ``kill -9`` at random moments: nothing lost, nothing torn, the index as if rebuilt."""

from pathlib import Path

from benchmarks.kill_replay import Options, run
from benchmarks.streams import Stream, names

STREAMS = Path(__file__).parents[2] / "data" / "streams"


def test_the_index_equals_the_rebuilt_one_after_kills_at_random_moments() -> None:
    """A few kills of the process, some with its PostgreSQL, while a small stream is replayed."""
    stream = Stream(folder=STREAMS, name=names(STREAMS)[0])
    result = run(Options(stream=stream, kills=6, seed=1))
    assert result["kills"] == 6
    assert result["kills_with_postgres"] > 0
    assert result["reads"] > 0
    wrong = ("stale", "torn", "missing", "dead_letters", "verify_differences", "rebuilt_differences")
    assert {name: result[name] for name in wrong} == dict.fromkeys(wrong, 0)

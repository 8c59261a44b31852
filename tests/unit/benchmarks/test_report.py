"""Percentiles and the last line of output."""

import json

import pytest
from benchmarks.report import emit, percentiles


def test_percentiles_are_samples_by_nearest_rank() -> None:
    samples = [float(number) for number in range(100, 0, -1)]
    assert percentiles(samples, ranks=(50, 95, 99), worst=True) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert percentiles([7.0]) == {"p50": 7.0, "p99": 7.0}


def test_percentiles_of_nothing_are_zero() -> None:
    assert percentiles([], worst=True) == {"p50": 0.0, "p99": 0.0, "max": 0.0}


def test_json_is_one_object_on_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    emit("title", {"reads": 3, "lag_ms": {"p50": 1.5}}, as_json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"reads": 3, "lag_ms": {"p50": 1.5}}


def test_a_table_shows_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    emit("title", {"reads": 3, "lag_ms": {"p50": 1.5}}, as_json=False)
    printed = capsys.readouterr().out
    assert "reads" in printed
    assert "p50 1.5" in printed

"""Numbers for people and for Prometheus: the state of the pipeline, and what the query endpoints measured."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, Field

from rtrag.application.status import PipelineStatus
from rtrag.entrypoints.http.admin_schemas import StatusOut

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TOTALS: Mapping[str, tuple[str, str]] = {
    "events": ("change_events_total", "Change events received."),
    "documents": ("updates_total", "Document changes applied to the index."),
    "embedded_chunks": ("embedded_chunks_total", "Chunks sent to the embedder."),
    "embedded_characters": ("embedded_characters_total", "Characters sent to the embedder."),
    "retries": ("update_retries_total", "Attempts repeated after a transient failure."),
    "dead_letters": ("update_failures_total", "Changes that became dead letters."),
    "batches": ("update_batches_total", "Micro-batches applied."),
    "copied": ("copied_documents_total", "Documents copied from tables."),
}


class QueryMetrics:
    """Counts and times of this process's queries."""

    def __init__(self) -> None:
        self.count = 0
        self.failures = 0
        self.memoised = 0
        self.seconds = 0.0
        self._buckets = [0] * (len(_BOUNDS) + 1)

    def answered(self, seconds: float, *, memoised: bool) -> None:
        self.count += 1
        self.memoised += memoised
        self.seconds += seconds
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1

    def failed(self) -> None:
        self.failures += 1

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Upper bounds as Prometheus writes them, and how many queries took at most that long."""
        running = 0
        for bound, count in zip((*_BOUNDS, math.inf), self._buckets, strict=True):
            running += count
            yield ("+Inf" if math.isinf(bound) else repr(bound)), running


class QueriesOut(BaseModel):
    """This process's queries since start."""

    count: int
    failures: int
    memoised: int = Field(description="Answers whose text was generated before, from the same evidence.")
    mean_ms: float | None
    latency_seconds: dict[str, int] = Field(description="How many took at most so many seconds.")


class MetricsOut(BaseModel):
    """The pipeline and the queries in numbers."""

    update_lag_seconds: float
    pipeline: StatusOut
    queries: QueriesOut


def metrics_json(status: PipelineStatus, queries: QueryMetrics) -> MetricsOut:
    """For who asks for JSON."""
    mean = queries.seconds / queries.count * 1000 if queries.count else None
    return MetricsOut(
        update_lag_seconds=status.lag_ms / 1000,
        pipeline=StatusOut.of(status),
        queries=QueriesOut(
            count=queries.count,
            failures=queries.failures,
            memoised=queries.memoised,
            mean_ms=mean,
            latency_seconds=dict(queries.cumulative()),
        ),
    )


def metrics_text(status: PipelineStatus, queries: QueryMetrics) -> str:
    """For who scrapes: the Prometheus text format, version 0.0.4."""
    lines: list[str] = []
    _gauge(lines, "update_lag_seconds", "How far the index is behind the last commit.", status.lag_ms / 1000)
    _gauge(lines, "pipeline_ready", "1 if queries can be answered.", int(status.ready))
    _gauge(lines, "dead_letters_open", "Changes waiting to be mended.", status.dead_letters)
    for name, value in status.counts.items():
        _gauge(lines, f"indexed_{name}", f"Number of {name} in the index.", value)
    for name, slot_value in status.slot.items():
        if isinstance(slot_value, int):
            _gauge(lines, f"slot_{name}", f"Replication slot: {name.replace('_', ' ')}.", int(slot_value))
    for name, value in status.totals.items():
        metric, text = _TOTALS.get(name, (f"{name}_total", f"Number of {name.replace('_', ' ')}."))
        _metric(lines, metric, "counter", text, value)
    _metric(lines, "query_failures_total", "counter", "Queries that failed.", queries.failures)
    _metric(lines, "memoised_answers_total", "counter", "Answers that needed no generation.", queries.memoised)
    _head(lines, "query_latency_seconds", "histogram", "Time to answer a query.")
    lines += [f'query_latency_seconds_bucket{{le="{bound}"}} {count}' for bound, count in queries.cumulative()]
    lines += [f"query_latency_seconds_sum {queries.seconds!r}", f"query_latency_seconds_count {queries.count}"]
    return "\n".join(lines) + "\n"


def wants_text(accept: str) -> bool:
    """Whether an Accept header asks for the text format before JSON; JSON for ``*/*``, a browser, or nothing."""
    weights = dict(_weights(accept))
    text = max(weights.get("text/plain", 0.0), weights.get("application/openmetrics-text", 0.0))
    return text > weights.get("application/json", 0.0)


def _weights(accept: str) -> Iterator[tuple[str, float]]:
    for item in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        try:
            yield media_type, float(weight)
        except ValueError:
            yield media_type, 0.0


def _gauge(lines: list[str], name: str, text: str, value: float) -> None:
    _metric(lines, name, "gauge", text, value)


def _metric(lines: list[str], name: str, kind: str, text: str, value: float) -> None:
    _head(lines, name, kind, text)
    lines.append(f"{name} {value!r}")


def _head(lines: list[str], name: str, kind: str, text: str) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]

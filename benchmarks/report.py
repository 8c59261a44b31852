"""What a benchmark prints: one JSON object on the last line, or a progress bar and a table."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Advance: TypeAlias = Callable[[int], None]


def percentiles(samples: Sequence[float], *, ranks: Sequence[int] = (50, 99), worst: bool = False) -> dict[str, float]:
    """Nearest-rank percentiles by name (``p50``), and ``max`` if asked for; all 0 without samples."""
    ordered = sorted(samples)
    named = {f"p{rank}": _rank(ordered, rank) for rank in ranks}
    if worst:
        named["max"] = round(ordered[-1], 3) if ordered else 0.0
    return named


def _rank(ordered: Sequence[float], rank: int) -> float:
    """The smallest sample that at least ``rank`` percent of all do not exceed."""
    if not ordered:
        return 0.0
    return round(ordered[max(0, -(-rank * len(ordered) // 100) - 1)], 3)


@contextmanager
def progress(label: str, total: int, *, shown: bool) -> Iterator[Advance]:
    """A progress bar on standard error; the context's value advances it by so many steps."""
    if not shown:
        yield lambda _steps: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda steps: bar.advance(task, steps)


def note(text: str) -> None:
    """A line on standard error, for what belongs to neither result nor progress."""
    print(text, file=sys.stderr, flush=True)


def emit(title: str, result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the result, as the last line or as a table."""
    if as_json:
        print(json.dumps(result), flush=True)
        return
    table = Table(title=title, show_header=False)
    for name, value in result.items():
        shown = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, Mapping) else str(value)
        table.add_row(name, shown)
    Console().print(table)

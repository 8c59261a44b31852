"""Parts of a running stack are killed and started again while a writer writes and readers check every answer.

    python -m benchmarks.stack_faults [--stack FOLDER] [--rounds N] [--faults NAME ...] [--json]

After each fault everything that was written must become visible, and ``verify`` must find no difference.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.report import emit, note, percentiles, progress
from benchmarks.stack import remembered_stack
from benchmarks.stack_load import Load, under_load

from rtrag.entrypoints.stack import process, supervisor
from rtrag.entrypoints.stack.layout import DEFAULT_FOLDER, Stack
from rtrag.entrypoints.stack.progress import Silent

AWAY_SECONDS = 1.0
REBALANCES = 2
COUNTED = ("commits", "stale", "torn", "missing", "dead_letters", "verify_differences")
WRONG = COUNTED[1:]


def kill_part(stack: Stack, name: str) -> None:
    """``kill -9`` of a part with all its children, and a start a moment later. Returns when it is healthy again."""
    running = process.find(stack.record(name))
    if running is None:
        raise RuntimeError(f"{name} does not run")
    victims = [running, *running.children(recursive=True)]
    for victim in victims:
        victim.kill()
    psutil.wait_procs(victims, timeout=10)
    time.sleep(AWAY_SECONDS)
    supervisor.up(stack, Silent())


def broker_killed(load: Load) -> None:
    kill_part(load.stack, "kafka")


def connect_killed(load: Load) -> None:
    kill_part(load.stack, "connect")


def postgres_killed(load: Load) -> None:
    kill_part(load.stack, "postgres")


def redis_killed(load: Load) -> None:
    kill_part(load.stack, "redis")


def instance_killed(load: Load) -> None:
    load.kill_instance()


def rebalanced(load: Load) -> None:
    """Another member takes partitions and reads without telling anything, then leaves: they are read again."""
    for _ in range(REBALANCES):
        member = Consumer(
            {
                "bootstrap.servers": load.way.stack.bootstrap_servers,
                "group.id": load.way.name,
                "partition.assignment.strategy": "cooperative-sticky",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        member.subscribe([f"{load.way.prefix}.public.documents"])
        deadline = time.monotonic() + 30
        while not member.assignment():
            if time.monotonic() > deadline:
                raise RuntimeError("the group has not taken in another member")
            member.poll(0.1)
        member.consume(500, AWAY_SECONDS)
        member.close()


FAULTS: Mapping[str, Callable[[Load], None]] = {
    "broker": broker_killed,
    "connect": connect_killed,
    "worker": instance_killed,
    "rebalance": rebalanced,
    "postgres": postgres_killed,
    "redis": redis_killed,
}


def run(stack: Stack, faults: Sequence[str], rounds: int, *, as_json: bool) -> dict[str, Any]:
    """Every fault so many times, in turn; counts by fault."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in faults}
    recovered: dict[str, list[float]] = {name: [] for name in faults}
    with (
        tempfile.TemporaryDirectory(prefix="rtrag-benchmark-") as folder,
        under_load(stack, Path(folder)) as load,
        progress("breaking", rounds * len(faults), shown=not as_json) as advance,
    ):
        for name in [*faults] * rounds:
            found = load.through(FAULTS[name])
            counts[name].update({each: found[each] for each in COUNTED})
            counts[name]["reads"] += sum(found["reads"])
            recovered[name].append(found["recovered_s"])
            for example in found["examples"]:
                note(f"violation, {name}: {example}")
            advance(1)
    return {
        name: {"rounds": rounds, "recovered_s": percentiles(recovered[name], ranks=(50,), worst=True)}
        | {each: counts[name][each] for each in ("reads", *COUNTED)}
        for name in faults
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing was lost, stale, torn, missing or different, else 1."""
    parser = argparse.ArgumentParser(description="Kill the parts of a running stack under load.")
    parser.add_argument("--stack", type=Path, default=DEFAULT_FOLDER, help="folder of a running stack")
    parser.add_argument("--rounds", type=int, default=5, help="how often each fault happens")
    parser.add_argument("--faults", nargs="+", choices=tuple(FAULTS), default=tuple(FAULTS), help="which ones")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    given = parser.parse_args(arguments)
    result = run(remembered_stack(given.stack), given.faults, given.rounds, as_json=given.json)
    emit("faults of the stack", result, as_json=given.json)
    return int(any(found[name] for found in result.values() for name in WRONG))


if __name__ == "__main__":
    sys.exit(main())

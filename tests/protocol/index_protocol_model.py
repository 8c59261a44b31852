"""The index protocol, checked in every interleaving: python tests/protocol/index_protocol_model.py

One document and its history of changes; a worker, the owner, that replays all of it; a second one, the zombie, that
holds any stretch of it (a rebalance took the document from it; it may stop for good at any step, like a crash); and
a third party: a TRUNCATE, or verify sweeping chunks that nobody lists. Every interleaving of their atomic steps is
visited, for every way to cut the changes into micro-batches. In every state all chunks that a visible manifest
lists exist. When owner and third party have finished, the manifest is the newest version.

    --without cas      manifests guarded by "smaller position" alone: a listed chunk goes missing
    --without floor    workers and readers ignore the table's floor: a truncated document is alive, or torn
    --without bound    verify sweeps by id alone, whatever the position: a listed chunk goes missing

Exit 0 where the protocol holds; 1 with the first counter-example.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Chunks: TypeAlias = tuple[str, ...]
Guard: TypeAlias = Literal["cas", "floor", "bound"]


class Manifest(NamedTuple):
    position: int
    chunks: Chunks | None  # None: a tombstone


class Change(NamedTuple):
    position: int
    chunks: Chunks | None


class Truncate(NamedTuple):
    position: int


class Verify(NamedTuple):
    pass


Work: TypeAlias = tuple[Change | Truncate | Verify, ...]
ThirdParty: TypeAlias = Truncate | Verify | None


class Worker(NamedTuple):
    work: Work
    at: int = 0
    step: str = "read"
    seen: Manifest | None = None  # the manifest that was read at the start of this piece of work
    standing: Manifest | None = None  # the newer manifest that was read back

    def goto(self, step: str, seen: Manifest | None) -> "Worker":
        return Worker(self.work, self.at, step, seen)

    def next(self) -> "Worker":
        return Worker(self.work, self.at + 1)

    def again(self) -> "Worker":
        return Worker(self.work, self.at)


class State(NamedTuple):
    manifest: Manifest | None
    points: tuple[tuple[str, int], ...]  # chunk, and position of the change that wrote it
    floor: int
    workers: tuple[Worker, ...]


class Step(NamedTuple):
    """One atomic step: whose, and which."""

    worker: int
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterExample:
    """How the protocol breaks: who did what, in order."""

    problem: str
    workers: tuple[Work, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    states: int
    counter_example: CounterExample | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A history of changes and who else is there."""

    history: tuple[Change, ...]
    third: ThirdParty = None

    @property
    def newest(self) -> Change | None:
        """The change that has to be visible at the end, None where a TRUNCATE took everything."""
        cut = self.third.position if isinstance(self.third, Truncate) else 0
        return next((change for change in reversed(self.history) if change.position > cut), None)


SHORT = (Change(1, ("X", "Y")), Change(2, ("X",)), Change(4, ("Y", "Z")))
LONG = (
    Change(1, ("X", "Y")),
    Change(2, ("X",)),
    Change(4, ("X", "Y")),
    Change(5, None),
    Change(7, ("Y", "Z")),
)
SCENARIOS = (
    Scenario(history=LONG),
    Scenario(history=SHORT, third=Truncate(3)),
    Scenario(history=SHORT, third=Truncate(6)),
    Scenario(history=SHORT, third=Verify()),
)


def micro_batches(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """All ways to coalesce consecutive changes; of each batch only the newest is left."""
    if not changes:
        yield ()
    for size in range(1, len(changes) + 1):
        for rest in micro_batches(changes[size:]):
            yield (changes[size - 1], *rest)


class Protocol:
    """The atomic steps, with all guards or without one of them."""

    def __init__(self, without: Guard | None = None) -> None:
        self.cas = without != "cas"
        self.use_floor = without != "floor"
        self.bound = without != "bound"

    def advance(self, state: State, index: int) -> State | None:
        """The state after one step of a worker, None where it has finished."""
        worker = state.workers[index]
        if worker.at >= len(worker.work):
            return None
        item = worker.work[worker.at]
        points = dict(state.points)
        match item:
            case Verify():
                manifest, floor = state.manifest, state.floor
                after = self._verify(worker, manifest, points)
            case Truncate():
                manifest, floor, after = _truncate(worker, item, state, points)
            case Change():
                floor = state.floor
                manifest, after = self._change(worker, item, state, points)
        workers = (*state.workers[:index], after, *state.workers[index + 1 :])
        return State(manifest, tuple(sorted(points.items())), floor, workers)

    def _verify(self, worker: Worker, manifest: Manifest | None, points: dict[str, int]) -> Worker:
        if worker.step == "read":
            return worker.goto("sweep", manifest) if manifest else worker.next()
        seen = worker.seen or Manifest(0, None)
        limit = seen.position if self.bound else max(points.values(), default=0)
        for chunk, position in tuple(points.items()):
            if chunk not in (seen.chunks or ()) and position <= limit:
                del points[chunk]
        return worker.next()

    def _change(
        self, worker: Worker, item: Change, state: State, points: dict[str, int]
    ) -> tuple[Manifest | None, Worker]:
        match worker.step:
            case "read":
                return state.manifest, self._read(worker, item, state)
            case "upsert":
                _upsert(points, item, worker.seen)
                return state.manifest, worker.goto("switch", worker.seen)
            case "switch":
                return self._switch(worker, item, state), worker.goto("read back", worker.seen)
            case "read back":
                return state.manifest, self._read_back(worker, item, state)
            case "bury":
                return _bury(worker, item, state)
            case _:
                return state.manifest, _sweep(worker, item, state, points)

    def _read(self, worker: Worker, item: Change, state: State) -> Worker:
        manifest = state.manifest
        old = (manifest is not None and manifest.position >= item.position) or self._below_floor(item, state)
        return worker.next() if old else worker.goto("upsert", manifest)

    def _switch(self, worker: Worker, item: Change, state: State) -> Manifest | None:
        manifest = state.manifest
        free = manifest == worker.seen if self.cas else manifest is None or manifest.position < item.position
        return Manifest(*item) if free else manifest

    def _read_back(self, worker: Worker, item: Change, state: State) -> Worker:
        if self._below_floor(item, state):
            return worker.goto("bury", worker.seen)
        if state.manifest and state.manifest.position == item.position:
            return worker.goto("sweep", worker.seen)
        if not self.cas:
            return worker.next()
        if state.manifest and state.manifest.position > item.position:
            return worker._replace(step="sweep overtaken", standing=state.manifest)
        return worker.again()

    def _below_floor(self, item: Change, state: State) -> bool:
        return self.use_floor and state.floor >= item.position

    def violation(self, state: State, newest: Change | None, *, finished: bool) -> str | None:
        """What is wrong in a state, None if nothing."""
        manifest, points = state.manifest, dict(state.points)
        floor = state.floor if self.use_floor else 0
        visible = manifest is not None and manifest.chunks is not None and manifest.position > floor
        missing = [chunk for chunk in _listed(manifest) if chunk not in points]
        if visible and missing:
            return f"torn: {manifest} lists {missing}, which do not exist"
        if finished and newest is None and visible:
            return f"a truncated document is visible: {manifest}"
        if finished and newest is not None and manifest != Manifest(*newest):
            return f"not the newest: {manifest} instead of {newest}"
        return None


def _truncate(
    worker: Worker, item: Truncate, state: State, points: dict[str, int]
) -> tuple[Manifest | None, int, Worker]:
    manifest, floor = state.manifest, state.floor
    match worker.step:
        case "read":
            return manifest, max(floor, item.position), worker.goto("scan", None)
        case "scan":
            live = manifest and manifest.chunks is not None and manifest.position <= item.position
            return manifest, floor, worker.goto("bury", manifest) if live else worker.next()
        case "bury":
            if manifest == worker.seen:
                return Manifest(item.position, None), floor, worker.goto("sweep", worker.seen)
            return manifest, floor, worker.goto("scan", None)
        case _:
            _drop(points, worker.seen, (), below=item.position + 1)
            return manifest, floor, worker.next()


def _upsert(points: dict[str, int], item: Change, seen: Manifest | None) -> None:
    for chunk in item.chunks or ():
        if chunk not in _listed(seen) and points.get(chunk, 0) < item.position:
            points[chunk] = item.position


def _sweep(worker: Worker, item: Change, state: State, points: dict[str, int]) -> Worker:
    """The clean-up after a switch, after burying our own manifest, or after being overtaken."""
    if worker.step == "sweep overtaken":
        _drop_overtaken(points, item, worker)
        return worker.again()
    own = worker.step == "sweep own"
    below = state.floor + 1 if own else item.position
    _drop(points, worker.seen, () if own else item.chunks or (), below=below)
    return worker.next()


def _drop_overtaken(points: dict[str, int], item: Change, worker: Worker) -> None:
    """Sweep what was written for a switch that a newer one has overtaken."""
    kept = {*_listed(worker.seen), *_listed(worker.standing)}
    for chunk in item.chunks or ():
        if chunk not in kept and points.get(chunk, item.position + 1) <= item.position:
            del points[chunk]


def _bury(worker: Worker, item: Change, state: State) -> tuple[Manifest | None, Worker]:
    """Replace our own manifest, which the floor has passed, by a tombstone."""
    if state.manifest == Manifest(*item) and item.chunks is not None:
        return Manifest(state.floor, None), worker.goto("sweep own", state.manifest)
    return state.manifest, worker.next()


def _listed(manifest: Manifest | None) -> Chunks:
    return (manifest.chunks or ()) if manifest else ()


def _drop(points: dict[str, int], manifest: Manifest | None, keep: Chunks, below: int) -> None:
    for chunk in _listed(manifest):
        if chunk not in keep and points.get(chunk, below) < below:
            del points[chunk]


def explore(protocol: Protocol, scenario: Scenario, workers: tuple[Work, ...]) -> Result:
    """Visit every interleaving of these workers; the second one and later have to finish."""
    start = State(None, (), 0, tuple(Worker(work) for work in workers))
    came_from: dict[State, tuple[State, Step] | None] = {start: None}
    stack = [start]
    while stack:
        state = stack.pop()
        following = [protocol.advance(state, index) for index in range(len(workers))]
        finished = all(after is None for after in following[1:])
        if problem := protocol.violation(state, scenario.newest, finished=finished):
            found = CounterExample(problem=problem, workers=workers, steps=_steps(came_from, state))
            return Result(states=len(came_from), counter_example=found)
        for index, after in enumerate(following):
            if after is not None and after not in came_from:
                came_from[after] = state, Step(index, state.workers[index].step)
                stack.append(after)
    return Result(states=len(came_from), counter_example=None)


def _steps(came_from: dict[State, tuple[State, Step] | None], state: State) -> tuple[Step, ...]:
    steps: list[Step] = []
    while (before := came_from[state]) is not None:
        state, step = before
        steps.append(step)
    return tuple(reversed(steps))


def casts(scenario: Scenario) -> Iterator[tuple[Work, ...]]:
    """Zombie, owner and third party, for every way to cut their work into micro-batches."""
    history = scenario.history
    third: tuple[Work, ...] = () if scenario.third is None else ((scenario.third,),)
    for owner in micro_batches(history):
        for start in range(len(history)):
            for end in range(start, len(history) + 1):
                for zombie in micro_batches(history[start:end]):
                    yield (zombie, owner, *third)


def check(scenario: Scenario, without: Guard | None = None) -> Result:
    """Check one scenario until the first counter-example."""
    protocol = Protocol(without)
    states = 0
    for workers in casts(scenario):
        result = explore(protocol, scenario, workers)
        states += result.states
        if result.counter_example is not None:
            return Result(states=states, counter_example=result.counter_example)
    return Result(states=states, counter_example=None)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--without", choices=["cas", "floor", "bound"])
    without = parser.parse_args().without
    for scenario in SCENARIOS:
        result = check(scenario, without)
        verdict = "holds" if result.counter_example is None else result.counter_example.problem
        third = "nobody else" if scenario.third is None else scenario.third
        sys.stdout.write(f"{len(scenario.history)} changes, {third}: {result.states} states, {verdict}\n")
        if result.counter_example is not None:
            for work in result.counter_example.workers:
                sys.stdout.write(f"  worker: {work}\n")
            sys.stdout.writelines(f"  {step.worker}: {step.step}\n" for step in result.counter_example.steps)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Views of the same records agree, and no interleaving of workers loses a letter."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.dead_letters_contract import KEYS, NOON, letter
from rtrag.adapters.kafka.letter_records import Entry
from rtrag.adapters.kafka.letter_view import LetterView
from rtrag.domain.document import DocumentKey
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter
from rtrag.testing.dead_letters import ListDeadLetters

keys = st.sampled_from(KEYS[:3])
positions = st.builds(Position, st.sampled_from((1, 1, 1, 7)), st.integers(1, 4), st.just(0))


@dataclass
class Topic:
    """The records in their order; offset = index."""

    entries: list[Entry] = field(default_factory=list)

    def write(self, key: DocumentKey, position: Position, content: Entry | None) -> None:
        record = content.record if content is not None else None
        self.entries.append(Entry(offset=len(self.entries), key=key, position=position, record=record))

    def compacted(self) -> Sequence[Entry]:
        """What compaction leaves: the last of each key, without those that close."""
        last = {(entry.key, entry.position): entry for entry in self.entries}
        return sorted((each for each in last.values() if each.record is not None), key=lambda each: each.offset)


class Worker:
    """Reads the topic as far as it is let, and writes by what it has seen."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.view = LetterView()
        self._read = 0

    def read(self) -> None:
        self.view.apply(self.topic.entries[self._read :])
        self._read = len(self.topic.entries)

    def put(self, put: DeadLetter, *, killed: bool = False) -> None:
        """With ``killed`` the worker dies between the letter and closing what it stands for."""
        replacement = self.view.replacement(put)
        written = Entry(offset=0, key=put.key, position=put.position, record=replacement.record)
        self.topic.write(put.key, put.position, written)
        if not killed:
            for position in replacement.positions:
                self.topic.write(put.key, position, None)

    def close(self, key: DocumentKey, at_or_below: Position | None) -> bool:
        closing = self.view.closing(key, at_or_below)
        for position in closing.positions:
            self.topic.write(key, position, None)
        return closing.complete


def open_letters(view: LetterView) -> Sequence[DeadLetter]:
    return view.page(100, None)


def viewed(entries: Sequence[Entry]) -> LetterView:
    view = LetterView()
    view.apply(entries)
    return view


puts = st.tuples(st.just("put"), keys, positions.filter(lambda position: position.epoch == 1))
closes = st.tuples(st.just("close"), keys, st.none() | positions)


@given(st.lists(puts | closes, max_size=25))
@settings(max_examples=150)
async def test_one_worker_keeps_letters_as_the_stand_in_does(steps: list[tuple[str, DocumentKey, Position]]) -> None:
    worker, expected = Worker(Topic()), ListDeadLetters()
    for number, (what, key, position) in enumerate(steps):
        if what == "put":
            moment = NOON + timedelta(minutes=number)
            put = replace(letter(key), position=position, first_failed=moment, last_failed=moment, cause=str(number))
            worker.put(put)
            await expected.put(put)
        else:
            assert worker.close(key, position) == await expected.close(key, at_or_below=position)
        worker.read()
        assert open_letters(worker.view) == await expected.list()
        assert open_letters(viewed(worker.topic.compacted())) == await expected.list()
        assert len(worker.view) == await expected.count()


actions = st.sampled_from(("put", "put and be killed", "close", "read"))
moves = st.tuples(st.integers(0, 1), actions, positions)


@given(st.lists(moves, max_size=15))
@settings(max_examples=400)
def test_whatever_two_workers_do_views_agree_and_no_letter_is_lost(
    steps: list[tuple[int, str, Position]],
) -> None:
    topic = Topic()
    workers = Worker(topic), Worker(topic)
    owed: set[Position] = set()
    for who, action, position in steps:
        worker = workers[who]
        match action:
            case "read":
                worker.read()
            case "close":
                worker.close(KEYS[0], position)  # what it may close is not owed any more, even if it has not seen it
                owed = {each for each in owed if each > position and each.epoch <= position.epoch}
            case _:
                worker.put(replace(letter(KEYS[0]), position=position), killed=action != "put")
                owed = {each for each in owed if each.epoch >= position.epoch} | {position}
    for worker in workers:
        worker.read()
    first, second = (open_letters(worker.view) for worker in workers)
    assert first == second == open_letters(viewed(topic.compacted())) == open_letters(viewed(topic.entries))
    if owed:
        assert first[0].position >= max(owed)


def test_attempts_are_counted_once_when_a_worker_is_killed_before_it_closes_what_its_letter_stands_for() -> None:
    worker = Worker(Topic())
    worker.put(letter(KEYS[0], lsn=1))
    worker.read()
    worker.put(letter(KEYS[0], lsn=2), killed=True)
    worker.read()
    assert len(worker.topic.compacted()) == 2
    assert worker.view.get(KEYS[0]) == replace(letter(KEYS[0], lsn=2), attempts=4)
    worker.put(letter(KEYS[0], lsn=3))
    worker.read()
    assert len(worker.topic.compacted()) == 1
    assert worker.view.get(KEYS[0]) == replace(letter(KEYS[0], lsn=3), attempts=6)


def test_pages_follow_letters_that_come_and_go() -> None:
    worker = Worker(Topic())
    for key in KEYS[::2]:
        worker.put(letter(key))
    worker.read()
    assert [each.key for each in worker.view.page(100, None)] == sorted(KEYS[::2])
    for key in KEYS[1::2]:
        worker.put(letter(key))
    worker.close(KEYS[0], None)
    worker.read()
    assert [each.key for each in worker.view.page(100, None)] == sorted(KEYS[1:])
    assert [each.key for each in worker.view.page(2, KEYS[0])] == [key for key in sorted(KEYS) if key > KEYS[0]][:2]

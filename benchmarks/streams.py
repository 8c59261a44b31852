"""Edit streams on disk: start documents, events, probes, facts and reuse figures of a folder.

A stream NAME is a set of JSON Lines files, ``NAME.start``, ``NAME.events``, ``NAME.probes`` and ``NAME.facts``, each
ending in ``.jsonl.zst`` (zstd) or plain ``.jsonl``, and ``NAME.reuse.json``. Probes, facts and reuse may be absent.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import zstandard

Operation: TypeAlias = Literal["insert", "update", "delete", "rename"]
_SUFFIXES = (".jsonl.zst", ".jsonl")
_WINDOW_BYTES = 2**27  # the streams are compressed with --long=27


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDocument:
    """A document as it stands before the first event."""

    id: str
    title: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One edit. Events of equal ``commit`` that follow each other are one transaction.

    ``content`` is the whole text after it, None for a delete. ``old_id`` is set for a rename alone, which may
    change the content as well.
    """

    seq: int
    commit: str
    time: datetime
    operation: Operation
    id: str
    old_id: str | None
    title: str
    content: str | None

    @property
    def previous_id(self) -> str:
        """The id under which the document stood before."""
        return self.old_id or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """A sentence that is in the set of documents after an event, until event ``until`` (None: to the end)."""

    text: str
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What event ``seq`` brings into the set of documents and takes out of it."""

    seq: int
    operation: Operation
    id: str
    old_id: str | None
    appears: tuple[Appearance, ...]
    vanishes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactEntry:
    """The right answer from event ``seq`` on, and the document that holds it."""

    seq: int
    value: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A question whose right answer changes with the edits: after event n, the last entry with seq <= n."""

    qid: str
    question: str
    field: str
    history: tuple[FactEntry, ...]

    def after(self, seq: int) -> FactEntry | None:
        """The right answer after event ``seq``; None while there is none yet."""
        return next((entry for entry in reversed(self.history) if entry.seq <= seq), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """The smallest possible number of characters embedded by the updates of a stream."""

    updates: int
    chars_per_update: float

    @property
    def bound_chars(self) -> float:
        return self.updates * self.chars_per_update


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream in a folder. Every call reads the file again, line by line."""

    folder: Path
    name: str

    def start(self) -> Iterator[StartDocument]:
        """The documents before the first event. FileNotFoundError if the stream is not there."""
        for line in self._lines("start"):
            yield StartDocument(id=line["id"], title=line["title"] or "", content=line["content"])

    def events(self) -> Iterator[Event]:
        """The edits, in order."""
        for line in self._lines("events"):
            yield Event(
                seq=line["seq"],
                commit=line["commit"],
                time=datetime.fromisoformat(line["ts"]),
                operation=line["op"],
                id=line["id"],
                old_id=line["old_id"],
                title=line["title"] or "",
                content=line["content"],
            )

    def probes(self) -> dict[int, Probe]:
        """The probes by the event they belong to; empty where the stream has none."""
        return {
            line["seq"]: Probe(
                seq=line["seq"],
                operation=line["op"],
                id=line["id"],
                old_id=line["old_id"],
                appears=tuple(Appearance(text=item["text"], until=item["until"]) for item in line["appears"]),
                vanishes=tuple(line["vanishes"]),
            )
            for line in self._optional("probes")
        }

    def facts(self) -> tuple[Fact, ...]:
        """The fact questions; empty where the stream has none."""
        return tuple(
            Fact(
                qid=line["qid"],
                question=line["question"],
                field=line["field"],
                history=tuple(
                    FactEntry(seq=entry["seq"], value=entry["value"], id=entry["id"]) for entry in line["history"]
                ),
            )
            for line in self._optional("facts")
        )

    def reuse(self) -> Reuse | None:
        """The lower bound over all updates; None where it was not computed."""
        path = self.folder / f"{self.name}.reuse.json"
        if not path.exists():
            return None
        group = json.loads(path.read_text(encoding="utf-8"))["groups"]["all updates"]
        return Reuse(updates=group["updates"], chars_per_update=group["lower_bound"]["chars_per_update"])

    def count_events(self) -> int:
        """How many events there are, for progress."""
        return sum(1 for _ in self._raw("events"))

    def _optional(self, part: str) -> Iterator[dict[str, Any]]:
        return self._lines(part) if _find(self.folder, self.name, part) else iter(())

    def _lines(self, part: str) -> Iterator[dict[str, Any]]:
        return (cast("dict[str, Any]", json.loads(line)) for line in self._raw(part))

    def _raw(self, part: str) -> Iterator[str]:
        path = _find(self.folder, self.name, part)
        if path is None:
            raise FileNotFoundError(
                f"no {self.name}.{part}.jsonl.zst or .jsonl in {self.folder}; streams there: "
                f"{', '.join(names(self.folder)) or 'none'}"
            )
        return _text_lines(path)


def names(folder: Path) -> tuple[str, ...]:
    """The streams of a folder: whatever has start documents and events, by name."""
    found = {
        path.name.removesuffix(f".start{suffix}") for suffix in _SUFFIXES for path in folder.glob(f"*.start{suffix}")
    }
    return tuple(sorted(name for name in found if _find(folder, name, "events")))


def commits(events: Iterable[Event], limit: int | None = None) -> Iterator[Sequence[Event]]:
    """The events by transaction; at most ``limit`` events in all, cut inside a transaction if need be."""
    taken = 0
    for _, group in groupby(events, key=lambda event: event.commit):
        batch = list(group)[: None if limit is None else limit - taken]
        if not batch:
            return
        taken += len(batch)
        yield batch


def read_jsonl(folder: Path, stem: str) -> Iterator[dict[str, Any]]:
    """The objects of ``STEM.jsonl.zst`` or ``STEM.jsonl`` in a folder, for the question sets."""
    for suffix in _SUFFIXES:
        path = folder / f"{stem}{suffix}"
        if path.exists():
            return (cast("dict[str, Any]", json.loads(line)) for line in _text_lines(path))
    raise FileNotFoundError(f"no {stem}.jsonl.zst or {stem}.jsonl in {folder}")


def _find(folder: Path, name: str, part: str) -> Path | None:
    candidates = (folder / f"{name}.{part}{suffix}" for suffix in _SUFFIXES)
    return next((path for path in candidates if path.exists()), None)


def _text_lines(path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        if path.suffix == ".zst":
            decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
            raw = stack.enter_context(
                cast("io.BufferedReader", decompressor.stream_reader(raw, read_across_frames=True))
            )
        # A lone "\r" or a form feed inside a JSON string is escaped, so only "\n" ends a line.
        yield from stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline="\n"))

"""Writes the sample edit stream that tests and demonstrations use: documents of our own making and their history.

    python scripts/make_sample_stream.py [--folder tests/data/streams]

The same call always writes the same bytes. Probes are not written down by hand but found by replaying: for each event
the sentences that come into the set of documents and those that leave it.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeAlias

Row: TypeAlias = dict[str, Any]
Markup: TypeAlias = Literal["markdown", "rst"]

NAME = "sample"
SEED = 20240229
FIRST_COMMIT = datetime(2024, 2, 29, 8, 0, tzinfo=UTC)
EVENTS = 60

TITLES = (
    "Berth Planning", "Crane Maintenance", "Cold Storage", "Pilot Boats", "Customs Desk", "Night Shift Handover",
    "Container Inspection", "Weather Alerts", "Dangerous Goods", "Gate Opening Hours", "Fuel Supply", "Visitor Safety",
    "Rail Transfer", "Spare Parts", "Lost Cargo", "Radio Procedure",
)  # fmt: skip
STATUSES = ("Draft", "In review", "Active", "Superseded")
OWNERS = ("Ines Okafor", "Tomas Lindqvist", "Mei Tanaka", "Ruth Abara")
HEADINGS = ("Purpose", "Daily routine", "When something goes wrong", "Records", "Contacts")
SYLLABLES = (
    ("Var", "Nor", "Bel", "Kal", "Osk", "Thim", "Grun", "Jar", "Lod", "Mers", "Pell", "Quen", "Rav", "Stor"),
    ("da", "mi", "lo", "ne", "ru", "ta", "vi", "se"),
    ("holm", "by", "wick", "stad", "mouth", "fjord", "ness"),
)
SUBJECTS = (
    "the duty officer", "every crane driver", "the harbour office", "a certified inspector", "the tally clerk",
    "whoever opens the gate", "the shift leader", "each visiting crew",
)  # fmt: skip
ACTIONS = (
    "checks the mooring lines", "signs the log book", "reports the water level", "counts the sealed containers",
    "calls the pilot station", "tests the emergency lights", "compares the cargo list", "closes the loading ramp",
    "reads the temperature gauges", "walks along the quay",
)  # fmt: skip
CONDITIONS = (
    "before the first ship arrives", "within {n} minutes after the alarm", "at least {n} times a week",
    "whenever the wind exceeds {n} knots", "unless {n} or more berths are empty", "as soon as {n} trucks are waiting",
)  # fmt: skip


@dataclass(slots=True)
class Page:
    """A document as it is being edited: header fields, and paragraphs of sentences under headings."""

    id: str
    number: int
    title: str
    markup: Markup
    status: str
    owner: str
    sections: dict[str, list[list[str]]] = field(default_factory=dict)

    def text(self) -> str:
        """The content in its markup."""
        head = f"Page: {self.number}\nTitle: {self.title}\nStatus: {self.status}\nOwner: {self.owner}\n\n"
        parts = [f"{self.title}\n{'=' * len(self.title)}\n"]
        if self.markup == "markdown":
            head = f"---\ntitle: {self.title}\nstatus: {self.status}\nowner: {self.owner}\n---\n"
            parts = [f"# {self.title}\n"]
        for heading, paragraphs in self.sections.items():
            parts.append(f"## {heading}\n" if self.markup == "markdown" else f"{heading}\n{'-' * len(heading)}\n")
            parts.extend("\n".join(sentences) + "\n" for sentences in paragraphs)
        return head + "\n".join(parts)


class Author:
    """Makes edits, each a row of the stream, from one sequence of random numbers."""

    def __init__(self) -> None:
        self._random = Random(SEED)  # noqa: S311 - not for secrets: the same edits every time
        self._places = ["".join(parts) for parts in product(*SYLLABLES)]
        self._random.shuffle(self._places)
        self.pages: dict[str, Page] = {}
        self._titles = list(enumerate(TITLES, start=1))
        self.start = [self._row(self.new_page()) for _ in range(12)]

    def new_page(self) -> Page:
        """A further document, every third in reStructuredText."""
        number, title = self._titles.pop(0)
        markup: Markup = "rst" if number % 3 == 0 else "markdown"
        slug = title.lower().replace(" ", "-")
        page = Page(
            id=f"handbook/{slug}.{'rst' if markup == 'rst' else 'md'}",
            number=number,
            title=title,
            markup=markup,
            status=self._random.choice(STATUSES[:3]),
            owner=self._random.choice(OWNERS),
            sections={heading: [self._paragraph() for _ in range(self._random.randint(1, 3))] for heading in HEADINGS},
        )
        self.pages[page.id] = page
        return page

    def events(self) -> list[Row]:
        """The whole history; an edit that would change nothing is not one."""
        rows: list[Row] = []
        while len(rows) < EVENTS:
            size = self._random.choice((1, 1, 1, 2, 4)) if len(rows) < EVENTS - 4 else 1
            commit = f"{self._random.getrandbits(48):012x}"
            time = FIRST_COMMIT + timedelta(hours=7 * len(rows))
            for _ in range(size):
                seq = len(rows) + 1
                edit = self._edit(seq)
                rows.append({"seq": seq, "commit": commit, "ts": time.isoformat(), **edit})
        return rows

    def _edit(self, seq: int) -> Row:
        if seq % 15 == 7 and self._titles:
            return {"op": "insert", "old_id": None, **self._row(self.new_page())}
        page = self._random.choice(sorted(self.pages.values(), key=lambda page: page.number))
        if seq % 20 == 13:
            del self.pages[page.id]
            return {"op": "delete", "old_id": None, "id": page.id, "title": page.title, "content": None}
        if seq % 12 == 5:
            return self._rename(page, with_edit=seq % 24 == 5)
        self._random.choice(self._changes())(page)
        return {"op": "update", "old_id": None, **self._row(page)}

    def _rename(self, page: Page, *, with_edit: bool) -> Row:
        old_id = page.id
        del self.pages[old_id]
        page.id = (
            page.id.replace("handbook/", "archive/") if "handbook" in old_id else f"handbook/moved/{Path(old_id).name}"
        )
        self.pages[page.id] = page
        if with_edit:
            self._rewrite_sentence(page)
        return {"op": "rename", "old_id": old_id, **self._row(page)}

    def _changes(self) -> Sequence[Callable[[Page], None]]:
        return (
            self._rewrite_sentence, self._rewrite_sentence,
            self._add_paragraph, self._drop_sentence, self._change_header,
        )  # fmt: skip

    def _rewrite_sentence(self, page: Page) -> None:
        paragraph = self._any_paragraph(page)
        paragraph[self._random.randrange(len(paragraph))] = self._sentence()

    def _add_paragraph(self, page: Page) -> None:
        paragraphs = page.sections[self._random.choice(HEADINGS)]
        paragraphs.insert(self._random.randint(0, len(paragraphs)), self._paragraph())

    def _drop_sentence(self, page: Page) -> None:
        paragraph = self._any_paragraph(page)
        if len(paragraph) > 1:
            paragraph.pop()
        else:
            paragraph[0] = self._sentence()

    def _change_header(self, page: Page) -> None:
        if self._random.random() < 0.5:
            page.owner = self._random.choice([owner for owner in OWNERS if owner != page.owner])
        else:
            page.status = self._random.choice([status for status in STATUSES if status != page.status])

    def _any_paragraph(self, page: Page) -> list[str]:
        return self._random.choice(page.sections[self._random.choice(HEADINGS)])

    def _paragraph(self) -> list[str]:
        return [self._sentence() for _ in range(self._random.randint(1, 4))]

    def _sentence(self) -> str:
        """A sentence about a place that no other sentence names."""
        condition = self._random.choice(CONDITIONS).format(n=self._random.randint(2, 90))
        subject, action = self._random.choice(SUBJECTS), self._random.choice(ACTIONS)
        return f"At {self._places.pop()}, {subject} {action} {condition}."

    @staticmethod
    def _row(page: Page) -> Row:
        return {"id": page.id, "title": page.title, "content": page.text()}


def sentences_of(content: str) -> list[str]:
    """The sentences of a content: every one stands on a line of its own."""
    return [line for line in content.splitlines() if line.endswith(".")]


def header_of(content: str) -> dict[str, str]:
    """The header fields of a content, as they are spelt there."""
    pairs = (line.partition(": ") for line in content.splitlines()[:5])
    return {name: value for name, separator, value in pairs if separator and name.lower() in {"status", "owner"}}


def versions(start: Sequence[Row], events: Sequence[Row]) -> Iterator[dict[str, str]]:
    """The contents by id at the start and after each event."""
    contents = {row["id"]: row["content"] for row in start}
    yield dict(contents)
    for event in events:
        contents.pop(event["old_id"] or event["id"], None)
        if event["content"] is not None:
            contents[event["id"]] = event["content"]
        yield dict(contents)


def probes(start: Sequence[Row], events: Sequence[Row]) -> list[Row]:
    """For each event that changes it: what it adds to the set of all sentences, until when, and what it removes."""
    history = [{s for text in contents.values() for s in sentences_of(text)} for contents in versions(start, events)]
    found: list[Row] = []
    for event, before, after in zip(events, history, history[1:], strict=False):
        seq = event["seq"]
        appears = [
            {
                "text": text,
                "until": next((later for later in range(seq, len(history)) if text not in history[later]), None),
            }
            for text in sorted(after - before)
        ]
        vanishes = sorted(before - after)
        if appears or vanishes:
            place = {key: event[key] for key in ("seq", "op", "id", "old_id")}
            found.append({**place, "appears": appears[:4], "vanishes": vanishes[:4]})
    return found


def facts(start: Sequence[Row], events: Sequence[Row]) -> list[Row]:
    """Questions about the header fields of the documents that stay, with the history of the right answers."""
    current = {row["id"]: row for row in start}
    found: dict[tuple[str, str], Row] = {}
    for seq, contents in enumerate(versions(start, events)):
        event = events[seq - 1] if seq else None
        moved_from = event["old_id"] if event else None
        if event and event["content"] is not None:
            current[event["id"]] = event
        for document_id, content in contents.items():
            title = current[document_id]["title"]
            for name, value in header_of(content).items():
                entry = {"seq": seq, "value": value, "id": document_id}
                question = {
                    "qid": f"{title.lower().replace(' ', '-')}-{name.lower()}",
                    "question": f"What is the {name.lower()} of the page {title}?",
                    "field": name,
                    "history": [],
                }
                history = found.setdefault((title, name), question)["history"]
                if not history or history[-1]["value"] != value or history[-1]["id"] == moved_from:
                    history.append(entry)
    kept = {row["title"] for row in start} - {event["title"] for event in events if event["op"] == "delete"}
    return [
        {
            **fact,
            "changes": sum(
                a["value"] != b["value"] for a, b in zip(fact["history"], fact["history"][1:], strict=False)
            ),
        }
        for (title, _), fact in sorted(found.items())
        if title in kept
    ]


def reuse(start: Sequence[Row], events: Sequence[Row]) -> Row:
    """The least that updates have to embed: the characters of the sentences that the version before did not have."""
    updates = chars = 0
    for event, before in zip(events, versions(start, events), strict=False):
        if event["op"] == "update":
            known = set(sentences_of(before[event["id"]]))
            updates += 1
            chars += sum(len(sentence) for sentence in sentences_of(event["content"]) if sentence not in known)
    bound = {"chars_per_update": chars / updates}
    return {"groups": {"all updates": {"updates": updates, "lower_bound": bound, "methods": {}}}}


def verify(start: Sequence[Row], events: Sequence[Row], found: Sequence[Row]) -> None:
    """Replay with the contents as plain text and hold every probe against them; AssertionError if one is wrong."""
    states = ["\n".join(contents.values()) for contents in versions(start, events)]
    for probe in found:
        seq = probe["seq"]
        for appearance in probe["appears"]:
            end = appearance["until"] or len(states)
            shown = [appearance["text"] in state for state in states]
            if shown[seq - 1] or not all(shown[seq:end]) or any(shown[end : end + 1]):
                raise AssertionError(f"event {seq} does not bring in {appearance}")
        for text in probe["vanishes"]:
            if text not in states[seq - 1] or text in states[seq]:
                raise AssertionError(f"event {seq} does not take out {text!r}")


def files() -> Mapping[str, str]:
    """The whole stream: text by file name."""
    author = Author()
    start, events = author.start, author.events()
    found = probes(start, events)
    verify(start, events, found)
    operations = sorted({event["op"] for event in events})
    meta = {
        "name": NAME,
        "licence": "MIT, as the rest of the repository; written by scripts/make_sample_stream.py",
        "start_docs": len(start),
        "events": len(events),
        "ops": {name: sum(event["op"] == name for event in events) for name in operations},
        "commits": len({event["commit"] for event in events}),
        "lower_bound": "characters of the sentences that are new to the document",
    }
    return {
        f"{NAME}.start.jsonl": _json_lines(start),
        f"{NAME}.events.jsonl": _json_lines(events),
        f"{NAME}.probes.jsonl": _json_lines(found),
        f"{NAME}.facts.jsonl": _json_lines(facts(start, events)),
        f"{NAME}.reuse.json": json.dumps(reuse(start, events), indent=1) + "\n",
        f"{NAME}.meta.json": json.dumps(meta, indent=1) + "\n",
    }


def _json_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Write the files of the stream."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(__file__).resolve().parents[1] / "tests/data/streams"
    parser.add_argument("--folder", type=Path, default=default)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{folder / name}: {len(text):,} characters")


if __name__ == "__main__":
    main()

"""Queries over HTTP whose every result is held against the history."""

from dataclasses import dataclass
from random import Random
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import quote

from benchmarks.client import Client, ServerGoneError
from benchmarks.history import History, Observation, Shown, Tally, joined, normalized
from benchmarks.writer import Commit

from rtrag.domain.document import DocumentKey
from rtrag.domain.position import format_lsn, parse_lsn

PAGE_SIZE = 20
ALL_SOURCES = 100
LONGEST_QUERY = 500


class UnexpectedStatusError(Exception):
    """The server answered with an error."""


def ask(
    client: Client, text: str, *, token: str | None = None, page: int = 1, page_size: int = PAGE_SIZE
) -> dict[str, Any]:
    """The answer to a query. Raises UnexpectedStatusError, ServerGoneError."""
    body: dict[str, Any] = {"query": text[:LONGEST_QUERY], "page": page, "page_size": page_size}
    if token is not None:
        body |= {"min_position": token, "wait_ms": 60_000}
    status, answer = client.post("/query", body)
    if status != 200:
        raise UnexpectedStatusError(f"POST /query answered {status}: {answer}")
    return dict(answer)


def wait_visible(client: Client, token: str) -> None:
    """Return when a query would reflect the token. Raises UnexpectedStatusError, ServerGoneError."""
    # A key's own percent signs have to survive the address.
    status, answer = client.get(f"/api/freshness?token={quote(token)}&wait_ms=60000")
    if status != 200:
        raise UnexpectedStatusError(f"GET /api/freshness answered {status}: {answer}")


def shown_in(answer: dict[str, Any]) -> tuple[Shown, ...]:
    """Sources and citations of an answer, by the document's primary key."""
    sources = [
        Shown(id=_id(item), version=item["version"], text=item["text"], ordinal=item["ordinal"])
        for item in answer["sources"]
    ]
    quotes = [Shown(id=_id(item), version=item["version"], text=item["quote"]) for item in answer["citations"]]
    return (*sources, *quotes)


def _id(item: dict[str, Any]) -> str:
    return DocumentKey.parse(item["document"]).values[0]


@dataclass(slots=True)
class CheckedQueries:
    """Asks after a commit, with its token, and judges the result at once. For the thread that writes."""

    client: Client
    history: History
    tally: Tally

    def ask(self, text: str, commit: Commit | None, *, expected: str | None = None) -> tuple[Shown, ...]:
        """Everything shown for a query; further pages are read until the expected sentence is found."""
        page, shown = 1, tuple[Shown, ...]()
        while True:
            answer = ask(self.client, text, token=commit.token if commit else None, page=page)
            shown += shown_in(answer)
            done = page * PAGE_SIZE >= answer["total_sources"] or expected is None or _holds(shown, expected)
            if done:
                break
            page += 1
        seen = Observation(
            query=text,
            floor=max(self.history.visible, commit.number if commit else -1),
            begun=self.history.begun,
            as_of=parse_lsn(answer["as_of"]["position"]),
            shown=shown,
            token=parse_lsn(commit.token) if commit else None,
            expected=expected,
        )
        self.tally.add(self.history.check(seen))
        return shown


def _holds(shown: tuple[Shown, ...], sentence: str) -> bool:
    by_document: dict[str, list[Shown]] = {}
    for piece in shown:
        by_document.setdefault(piece.id, []).append(piece)
    return any(sentence in text for group in by_document.values() for text in joined(group))


class Sentences:
    """A set of sentences from which one is drawn at random. Safe to use from several threads."""

    def __init__(self) -> None:
        self._items: list[str] = []
        self._places: dict[str, int] = {}
        self._lock = Lock()

    def add(self, text: str) -> None:
        with self._lock:
            if text not in self._places:
                self._places[text] = len(self._items)
                self._items.append(text)

    def remove(self, text: str) -> None:
        with self._lock:
            place = self._places.pop(text, None)
            if place is None:
                return
            last = self._items.pop()
            if last != text:
                self._items[place] = last
                self._places[last] = place

    def draw(self, random: Random) -> str | None:
        with self._lock:
            return random.choice(self._items) if self._items else None


class Reader(Thread):
    """Keeps asking beside the writer, without tokens, and judges every result as soon as that can be done.

    Asked are sentences that stand (and must be found), sentences that are gone, and lines of current documents.
    With ``through_kills`` it goes on when the server is away, and a share of the reads carries the token of the newest
    commit; else the first failed read ends it.
    """

    def __init__(
        self,
        url: str,
        history: History,
        *,
        per_second: float,
        through_kills: bool = False,
        tokens: float = 1 / 3,
    ) -> None:
        super().__init__(name="reader", daemon=True)
        self.tally = Tally()
        self.present, self.gone = Sentences(), Sentences()
        self.failure: str | None = None
        self.url = url
        self._through_kills = through_kills
        self._tokens = tokens if through_kills else 0.0
        self._history = history
        self._pause = 1 / per_second
        self._random = Random(1)
        self._ended = Event()
        self._waiting: list[Observation] = []

    def stop(self) -> None:
        """End and judge what is left. Call it when no transaction is open."""
        self._ended.set()
        self.join()
        self._judge()

    def run(self) -> None:
        with Client(self.url) as client:
            while not self._ended.wait(self._pause):
                try:
                    self._read(client)
                except (UnexpectedStatusError, ServerGoneError) as exc:
                    if not self._through_kills:
                        self.failure = f"a read failed: {exc}"
                        return
                self._judge()

    def _read(self, client: Client) -> None:
        query, expected = self._question()
        if query is None:
            return
        floor, token = self._history.visible, None
        if self._tokens and self._random.random() < self._tokens:
            floor, token = self._history.last_sealed()
        # All sources in one response when something must be among them: pages of different moments prove nothing.
        size = PAGE_SIZE if expected is None else ALL_SOURCES
        answer = ask(client, query, token=format_lsn(token) if token is not None else None, page_size=size)
        self._waiting.append(
            Observation(
                query=query,
                floor=floor,
                begun=self._history.begun,
                as_of=parse_lsn(answer["as_of"]["position"]),
                shown=shown_in(answer),
                token=token,
                expected=expected,
            )
        )

    def _question(self) -> tuple[str | None, str | None]:
        kind = self._random.random()
        if kind < 0.4:
            sentence = self.present.draw(self._random)
            return sentence, sentence
        if kind < 0.6:
            return self.gone.draw(self._random), None
        return self._line(), None

    def _line(self) -> str | None:
        """A line of a document, of some length."""
        stints = list(self._history.current())
        lines = normalized_lines(self._random.choice(stints).content) if stints else []
        return self._random.choice(lines) if lines else None

    def _judge(self) -> None:
        """Judge the results whose transactions have all been sealed."""
        sealed = self._history.sealed
        ready = [seen for seen in self._waiting if seen.begun <= sealed]
        self._waiting = [seen for seen in self._waiting if seen.begun > sealed]
        for seen in ready:
            self.tally.add(self._history.check(seen))


def normalized_lines(content: str) -> list[str]:
    """The lines of a content that are long enough to ask for."""
    return [line for line in map(normalized, content.splitlines()) if len(line) >= 40]

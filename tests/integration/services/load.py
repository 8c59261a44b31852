"""Updates of few documents, one after the other, at most fifty a second."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from integration.services.place import Place
from integration.services.service import until

DOCUMENTS = 20
PAUSE_SECONDS = 0.02


class Load(threading.Thread):
    """Writes until it is stopped. ``last`` is the number that each document's text was given last."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(name="load", daemon=True)
        self.name_of_load = name
        self.last: dict[str, int] = {}
        self.written = 0
        self._url = place.way.postgres_url
        self._ended = threading.Event()

    def run(self) -> None:
        generator = random.Random(1)
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._ended.wait(PAUSE_SECONDS):
                key, number = f"{self.name_of_load}-{generator.randrange(DOCUMENTS)}", self.written + 1
                connection.execute(
                    "INSERT INTO documents (id, content) VALUES (%s, %s) "
                    "ON CONFLICT (id) DO UPDATE SET content = excluded.content",
                    (key, f"Report {number} of {self.name_of_load}.\n\n# Always\n\nThis part stays."),
                )
                self.last[key] = self.written = number

    def more(self, changes: int) -> None:
        """Until so many more changes are written."""
        goal = self.written + changes
        until(lambda: self.written >= goal, "more is written")

    def stop(self) -> None:
        """No more."""
        self._ended.set()
        self.join()


@contextmanager
def load(place: Place, name: str) -> Iterator[Load]:
    """A load on documents of its own, which end when the block ends."""
    running = Load(place, name)
    running.start()
    try:
        yield running
    finally:
        running.stop()

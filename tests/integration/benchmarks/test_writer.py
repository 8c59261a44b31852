"""The benchmarks' writer against a real PostgreSQL: its history is what the table went through."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from benchmarks.history import Change, History
from benchmarks.instance import prepare_database
from benchmarks.streams import Event, Operation, StartDocument
from benchmarks.writer import Writer


def event(operation: Operation, document: str, content: str | None, old: str | None = None) -> Event:
    time = datetime(2024, 1, 1, tzinfo=UTC)
    return Event(seq=1, commit="c", time=time, operation=operation, id=document, old_id=old, title="t", content=content)


def on_server(folder: Path, use: Callable[[Writer, History, str], None]) -> None:
    def fill(url: str) -> int:
        history = History()
        writer = Writer(url, history)
        try:
            writer.copy(
                [StartDocument(id="a", title="A", content="a one"), StartDocument(id="b", title="B", content="b")]
            )
            use(writer, history, url)
        finally:
            writer.close()
        return 2

    prepare_database(folder, fill)


def test_the_history_holds_the_versions_that_the_table_holds(tmp_path: Path) -> None:
    def use(writer: Writer, history: History, url: str) -> None:
        first = writer.apply([event("update", "a", "a two"), event("insert", "c", "c")])
        second = writer.apply([event("rename", "d", "a three", "a"), event("delete", "b", None)])
        assert (first.number, second.number, history.sealed) == (1, 2, 2)
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT id, version, content FROM public.documents").fetchall()
        known = [(stint.id, stint.version, stint.content) for stint in history.current()]
        assert sorted(rows) == sorted(known) == [("c", 1, "c"), ("d", 3, "a three")]

    on_server(tmp_path, use)


def test_a_reconnect_finds_out_whether_the_open_transaction_was_committed(tmp_path: Path) -> None:
    def use(writer: Writer, history: History, url: str) -> None:
        writer.apply([event("update", "a", "a two")])
        assert not writer.reconnect()
        writer._last = Change(id="a", version=3, content="a three")
        history.begin([writer._last])
        assert not writer.reconnect()
        assert history.begun == history.sealed == 1
        history.begin([writer._last])
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE public.documents SET content = 'a three' WHERE id = 'a'")
        assert writer.reconnect()
        assert history.begun == history.sealed == 2

    on_server(tmp_path, use)

"""What is wrong is named with its cause and the way out, no command leaves a traceback, and nothing gets lost."""

from pathlib import Path

from e2e.instances import Done, rtrag
from integration.openai.server import running

BIG = "public.documents/big"


def assert_key_named(done: Done, code: int) -> None:
    assert done.code == code
    assert "answered 401" in done.err
    assert "Fix: set OPENAI_API_KEY" in done.err


def test_asking_where_nothing_was_ever_started_makes_nothing(tmp_path: Path) -> None:
    for command in (("query", "x"), ("psql", "-c", "SELECT 1")):
        done = rtrag(tmp_path, *command)
        assert done.code == 1
        assert "no data folder .rtrag" in done.err
        assert "rtrag up" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_url_that_cannot_be_read_is_named_without_its_password(tmp_path: Path) -> None:
    done = rtrag(tmp_path, "up", "--port", "0", POSTGRES_URL="mysql://me:hush@db/x")
    assert done.code == 2
    assert "URL of PostgreSQL cannot be read" in done.err
    assert "Fix: write it as postgresql://" in done.err
    assert "hush" not in done.err


def test_a_key_that_the_embedder_refuses_ends_the_start(tmp_path: Path) -> None:
    with running() as server:
        settings = {"RTRAG_EMBEDDER__KIND": "openai", "RTRAG_EMBEDDER__BASE_URL": server.url}
        assert_key_named(rtrag(tmp_path, "up", "--port", "0", OPENAI_API_KEY="wrong", **settings), 2)


def test_a_document_above_the_limit_is_a_dead_letter_until_the_limit_is_raised(tmp_path: Path) -> None:
    limit = {"RTRAG_INDEXING__MAX_DOCUMENT_BYTES": "2000"}
    assert rtrag(tmp_path, "docs", "add", "--id", "big", "--content", "wombat " * 400, **limit).code == 0
    open_still = rtrag(tmp_path, "dlq", "replay", BIG, **limit)
    assert open_still.code == 1
    assert "2800 bytes, more than the limit of 2000" in open_still.out
    assert "raise RTRAG_INDEXING__MAX_DOCUMENT_BYTES" in open_still.out
    assert f"{BIG}  closed" in rtrag(tmp_path, "dlq", "replay", "--all").out
    with running() as server:
        settings = {"RTRAG_GENERATOR__KIND": "openai", "RTRAG_GENERATOR__BASE_URL": server.url}
        assert_key_named(rtrag(tmp_path, "query", "What is a wombat?", OPENAI_API_KEY="wrong", **settings), 1)


def test_text_that_cannot_be_stored_is_refused_in_words_and_the_rest_is_imported(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_bytes(
        b'{"id": "one", "content": "fine"}\n{"id": "two", "content": "n\\u0000l"}\n{"id": "three"\n'
        b'{"id": "four", "content": "half \\ud800"}\n{"id": "five", "content": "fine"}\n'
    )
    done = rtrag(tmp_path, "import", "lines.jsonl")
    assert (done.code, done.out) == (1, "2 added, 0 changed, 0 unchanged.\n")
    for line, cause in ((2, "cannot store the character U+0000"), (3, "not JSON"), (4, "half of a surrogate pair")):
        assert any(f"lines.jsonl:{line}: " in told and cause in told for told in done.err.splitlines())
    assert rtrag(tmp_path, "query", "caf\udce9").code == 1

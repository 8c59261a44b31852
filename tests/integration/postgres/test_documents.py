"""Documents written through the store, in a real embedded PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from rtrag.adapters.postgres.document_stores import open_document_stores
from rtrag.adapters.postgres.documents import PostgresDocumentStore
from rtrag.adapters.postgres.embedded import open_embedded_postgres
from rtrag.config import load_settings
from rtrag.domain.conditions import Condition
from rtrag.domain.document import DocumentKey, Json
from rtrag.domain.errors import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    ServiceUnavailableError,
    TooSlowError,
)
from rtrag.domain.mapping import TableMapping
from rtrag.domain.position import parse_lsn

DOCUMENTS = load_settings(None, {}).mapped_collections()[0].tables[0]
ARTICLES = TableMapping(
    table="public.articles",
    title="Headline",
    content="body",
    metadata=("tenant", "tags", "price", "extra"),
    row_filter=(
        Condition(field="state", operator="eq", value="live 100%"),
        Condition(field="level", operator="in", value=(1, 2)),
    ),
    writable=True,
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with asyncio.Runner() as runner:
        opening = open_embedded_postgres(tmp_path_factory.mktemp("postgres"))
        yield runner.run(opening.__aenter__()).url
        runner.run(opening.__aexit__(None, None, None))


async def execute(url: str, statement: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement, parameters or None)
        return await cursor.fetchall() if cursor.description else []


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresDocumentStore]:
    await execute(url, "TRUNCATE documents")
    async with open_document_stores(url, [DOCUMENTS]) as stores:
        yield stores["public.documents"]


@pytest.fixture
async def articles(url: str) -> AsyncIterator[PostgresDocumentStore]:
    await execute(url, "DROP TABLE IF EXISTS articles")
    await execute(
        url,
        "CREATE TABLE articles (lang varchar(2), no int, \"Headline\" text, body text, tenant text DEFAULT 'all', "
        "tags text[], price numeric, extra jsonb, state text, level int DEFAULT 1, created_at timestamp DEFAULT now(), "
        "PRIMARY KEY (lang, no))",
    )
    async with open_document_stores(url, [ARTICLES]) as stores:
        yield stores["public.articles"]


def key(name: str) -> DocumentKey:
    return DocumentKey("public.documents", (name,))


async def test_a_created_document_can_be_read(store: PostgresDocumentStore) -> None:
    metadata: dict[str, Json] = {"tenant": "north", "tags": ["a", "b"], "deep": {"x": None}}
    written = await store.create("doc-1", "Prices", "A stay costs 90.", metadata)
    read = await store.get(key("doc-1"))
    assert written.document == read
    assert (read.title, read.content, read.metadata, read.version) == ("Prices", "A stay costs 90.", metadata, 1)
    assert read.created_at is not None
    assert read.created_at.tzinfo is not None


async def test_an_id_is_made_where_none_is_given(store: PostgresDocumentStore) -> None:
    first = await store.create(None, "a", "a", {})
    second = await store.create(None, "a", "a", {})
    assert first.key != second.key
    assert (await store.get(first.key)).title == "a"


async def test_an_id_that_is_taken_is_a_conflict(store: PostgresDocumentStore) -> None:
    await store.create("doc-1", "a", "a", {})
    with pytest.raises(ConflictError, match="doc-1"):
        await store.create("doc-1", "b", "b", {})
    assert (await store.get(key("doc-1"))).title == "a"


async def test_an_update_changes_what_is_given_and_counts_the_version(store: PostgresDocumentStore) -> None:
    await store.create("doc-1", "Prices", "old", {"a": 1})
    written = await store.update(key("doc-1"), content="new", expected_version=1)
    document = await store.get(key("doc-1"))
    assert written.document == document
    assert (document.title, document.content, document.metadata, document.version) == ("Prices", "new", {"a": 1}, 2)
    assert document.created_at is not None
    assert document.updated_at is not None
    assert document.updated_at > document.created_at
    replaced = await store.update(key("doc-1"), metadata={"b": 2})
    assert replaced.document is not None
    assert (replaced.document.metadata, replaced.document.version) == ({"b": 2}, 3)


async def test_an_update_of_another_version_is_a_conflict(store: PostgresDocumentStore) -> None:
    await store.create("doc-1", "a", "a", {})
    with pytest.raises(ConflictError, match="version 1, not 7"):
        await store.update(key("doc-1"), content="b", expected_version=7)
    with pytest.raises(ConflictError, match="version 1, not 7"):
        await store.delete(key("doc-1"), expected_version=7)
    assert (await store.get(key("doc-1"))).content == "a"


async def test_of_two_updates_of_one_version_one_wins(store: PostgresDocumentStore) -> None:
    await store.create("doc-1", "a", "a", {})
    outcomes = await asyncio.gather(
        *(store.update(key("doc-1"), content=text, expected_version=1) for text in "bcdef"), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 4
    assert (await store.get(key("doc-1"))).version == 2


async def test_a_deleted_document_is_gone(store: PostgresDocumentStore) -> None:
    await store.create("doc-1", "a", "a", {})
    assert (await store.delete(key("doc-1"), expected_version=1)).document is None
    with pytest.raises(NotFoundError, match="doc-1"):
        await store.get(key("doc-1"))
    with pytest.raises(NotFoundError):
        await store.update(key("doc-1"), content="b")
    with pytest.raises(NotFoundError):
        await store.delete(key("doc-1"))


async def test_documents_are_listed_in_key_order_by_pages_and_searched(store: PostgresDocumentStore) -> None:
    for name in ("c", "a", "b_%"):
        await store.create(name, f"Title {name}", "Ünder the hood", {})
    page, total = await store.list(limit=2, offset=1)
    assert ([document.key.id for document in page], total) == (["b_%25", "c"], 3)
    found, total = await store.list(limit=10, offset=0, search="_%")
    assert ([document.title for document in found], total) == (["Title b_%"], 1)
    assert (await store.list(limit=1, offset=0, search="ünder"))[1] == 3


async def test_the_position_of_an_update_lies_between_the_changes_before_and_the_change(
    store: PostgresDocumentStore, url: str
) -> None:
    created = await store.create("doc-1", "a", "a", {})
    before = parse_lsn((await execute(url, "SELECT pg_current_wal_insert_lsn()::text"))[0][0])
    updated = await store.update(key("doc-1"), content="b")
    after = parse_lsn((await execute(url, "SELECT pg_current_wal_insert_lsn()::text"))[0][0])
    assert created.lsn < before <= updated.lsn < after


async def test_the_position_is_taken_after_a_change_in_progress_has_ended(
    store: PostgresDocumentStore, url: str
) -> None:
    await store.create("doc-1", "a", "a", {})
    async with await psycopg.AsyncConnection.connect(url) as other:
        await other.execute("DELETE FROM documents WHERE id = 'doc-1'")
        waiting = asyncio.create_task(store.create("doc-1", "b", "b", {}))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        cursor = await other.execute("SELECT pg_current_wal_insert_lsn()::text")
        deleted = parse_lsn((await cursor.fetchall())[0][0])
    assert (await waiting).lsn > deleted


async def test_plain_sql_counts_versions_too(store: PostgresDocumentStore, url: str) -> None:
    await store.create("doc-1", "a", "a", {})
    await execute(url, "UPDATE documents SET content = 'b' WHERE id = 'doc-1'")
    await execute(url, "UPDATE documents SET content = 'c', version = version + 1 WHERE id = 'doc-1'")
    document = await store.get(key("doc-1"))
    assert (document.version, document.content) == (3, "c")


@pytest.mark.parametrize(
    ("identifier", "content", "metadata"),
    [
        ("a\0b", "x", {}),
        ("a", "x\0y", {}),
        ("a", "lone \ud800", {}),
        ("a", "x", {"n": "\0"}),
        ("a", "x", {"n": float("nan")}),
        ("", "x", {}),
        ("k" * 9000 + "".join(map(chr, range(0x4E00, 0x5A00))), "x", {}),
    ],
)
async def test_what_postgresql_cannot_hold_is_the_requests_fault(
    store: PostgresDocumentStore, identifier: str, content: str, metadata: dict[str, Json]
) -> None:
    with pytest.raises(InvalidRequestError):
        await store.create(identifier, "t", content, metadata)
    assert (await store.list(limit=1, offset=0))[1] == 0


async def test_an_update_without_a_change_is_refused(store: PostgresDocumentStore) -> None:
    with pytest.raises(InvalidRequestError, match="Nothing to change"):
        await store.update(key("doc-1"))


async def test_columns_of_many_types_are_written_and_read_as_metadata(articles: PostgresDocumentStore) -> None:
    metadata: dict[str, Json] = {"tenant": "north", "tags": ["x", "y z"], "price": 12.5, "anything": {"else": True}}
    written = await articles.create("en/7", "Hello", "World", metadata)
    assert written.key == DocumentKey("public.articles", ("en", "7"))
    read = await articles.get(written.key)
    assert (read.title, read.metadata, read.version) == ("Hello", metadata, None)
    assert read.created_at is not None
    assert read.created_at.tzinfo is not None
    await articles.update(written.key, metadata={"price": 3})
    assert (await articles.get(written.key)).metadata == {"tenant": "all", "price": 3}


async def test_rows_outside_the_row_filter_are_not_documents(articles: PostgresDocumentStore, url: str) -> None:
    await articles.create("en/1", "seen", "", {})
    await execute(url, "INSERT INTO articles (lang, no, body, state) VALUES ('en', 2, 'x', 'draft')")
    assert (await articles.list(limit=10, offset=0))[1] == 1
    hidden = DocumentKey("public.articles", ("en", "2"))
    with pytest.raises(NotFoundError):
        await articles.get(hidden)
    with pytest.raises(NotFoundError):
        await articles.update(hidden, content="y")
    await execute(url, "ALTER TABLE articles ALTER level SET DEFAULT 9")
    with pytest.raises(InvalidRequestError, match="row filter"):
        await articles.create("en/3", "unseen", "", {})


async def test_a_key_that_is_no_value_of_its_type_is_not_found(articles: PostgresDocumentStore) -> None:
    wrong = DocumentKey("public.articles", ("en", "seven"))
    with pytest.raises(NotFoundError):
        await articles.get(wrong)
    with pytest.raises(NotFoundError):
        await articles.update(wrong, content="x")
    with pytest.raises(InvalidRequestError):
        await articles.create("en/seven", "t", "c", {})
    with pytest.raises(InvalidRequestError, match="Give an id"):
        await articles.create(None, "t", "c", {})
    await articles.create("en/7", "t", "c", {})
    with pytest.raises(InvalidRequestError, match="no version"):
        await articles.update(DocumentKey("public.articles", ("en", "7")), content="x", expected_version=1)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (TableMapping(table="public.articles", content="{tenant} {body}", writable=True), "template"),
        (TableMapping(table="public.articles", content="text", writable=True), "no column text"),
        (TableMapping(table="public.nowhere", writable=True), "does not exist"),
        (
            TableMapping(
                table="public.articles",
                content="body",
                row_filter=(Condition(field="level", operator="eq", value="high"),),
                writable=True,
            ),
            "high",
        ),
    ],
)
async def test_a_table_that_cannot_be_written_to_is_refused_at_the_start(
    articles: PostgresDocumentStore, url: str, mapping: TableMapping, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with open_document_stores(url, [mapping]):
            pass


async def test_a_missing_privilege_names_the_fix(store: PostgresDocumentStore, url: str) -> None:
    await execute(url, "REVOKE INSERT ON documents FROM rag_user")
    try:
        with pytest.raises(ConfigurationError, match="privilege"):
            await store.create("doc-1", "a", "a", {})
    finally:
        await execute(url, "GRANT INSERT ON documents TO rag_user")


async def test_a_row_that_someone_holds_is_transient(store: PostgresDocumentStore, url: str) -> None:
    await store.create("doc-1", "a", "a", {})
    async with (
        await psycopg.AsyncConnection.connect(url) as other,
        open_document_stores(url, [DOCUMENTS], lock_seconds=0.05) as stores,
    ):
        await other.execute("SELECT FROM documents FOR UPDATE")
        with pytest.raises(ServiceUnavailableError, match="lock timeout"):
            await stores["public.documents"].update(key("doc-1"), content="b")


@pytest.mark.parametrize(("search", "advice"), [(None, "by their id"), ("a", "index")])
async def test_a_listing_that_takes_too_long_is_stopped_with_advice(
    store: PostgresDocumentStore, url: str, search: str | None, advice: str
) -> None:
    await store.create("doc-1", "a", "a", {})
    async with (
        await psycopg.AsyncConnection.connect(url) as other,
        open_document_stores(url, [DOCUMENTS], read_seconds=0.05) as stores,
    ):
        await other.execute("LOCK TABLE documents IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TooSlowError, match=advice):
            await stores["public.documents"].list(limit=10, offset=0, search=search)
        await other.rollback()
        assert (await stores["public.documents"].list(limit=10, offset=0, search=search))[1] == 1


async def test_a_write_may_wait_for_longer_than_a_listing_may_take(store: PostgresDocumentStore, url: str) -> None:
    await store.create("doc-1", "a", "a", {})
    async with (
        await psycopg.AsyncConnection.connect(url) as other,
        open_document_stores(url, [DOCUMENTS], read_seconds=0.05) as stores,
    ):
        await other.execute("SELECT FROM documents FOR UPDATE")
        changed = asyncio.create_task(stores["public.documents"].update(key("doc-1"), content="b"))
        added = asyncio.create_task(stores["public.documents"].create("doc-1", "a", "a", {}))
        await asyncio.sleep(0.3)
        await other.rollback()
        assert (await changed).document is not None
        with pytest.raises(ConflictError):
            await added


async def test_a_connection_that_broke_is_replaced(store: PostgresDocumentStore, url: str) -> None:
    await store.create("doc-1", "a", "a", {})
    await execute(
        url,
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND usename = current_user",
    )
    assert (await store.get(key("doc-1"))).title == "a"

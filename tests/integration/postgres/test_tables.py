"""Tables as users have them: types, keys, partitions, identities; copy, stream and reads agree on all."""

from dataclasses import replace

import pytest

from integration.postgres.conftest import DOCUMENTS, Database, copied_rows, events_now
from rtrag.domain.change import Delete, Truncate, Upsert
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import ConfigurationError
from rtrag.domain.mapping import TableMapping

TYPES: dict[str, tuple[str, object]] = {
    "boolean": ("true", True),
    "smallint": ("-3", -3),
    "bigint": ("9007199254740993", 9007199254740993),
    "real": ("0.1", 0.1),
    "double precision": ("'NaN'", "NaN"),
    "float8": ("'-Infinity'", "-Infinity"),
    "numeric": ("12", 12),
    "numeric(10,2)": ("12.50", 12.5),
    "numeric(40,20)": ("0.12345678901234567890", "0.12345678901234567890"),
    "numeric(30)": ("123456789012345678901234567890", "123456789012345678901234567890"),
    "text": ("E'tab\\t quote'' \\\\ ünï ☃'", "tab\t quote' \\ ünï ☃"),
    "varchar(5)": ("'ab'", "ab"),
    "char(4)": ("'ab'", "ab  "),
    '"char"': ("'c'", "c"),
    "json": ("""'{"a": [1, 2.5, null, "x"]}'""", {"a": [1, 2.5, None, "x"]}),
    "jsonb": ("'[1, {\"b\": true}]'", [1, {"b": True}]),
    "uuid": ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "bytea": (r"'\xDEADBEEF'", r"\xdeadbeef"),
    "date": ("'2024-02-29'", "2024-02-29"),
    "timestamp": ("'2024-02-29 12:34:56.789'", "2024-02-29T12:34:56.789"),
    "timestamptz": ("'2024-02-29 12:34:56+05:30'", "2024-02-29T07:04:56+00:00"),
    "timestamptz(0)": ("'infinity'", "infinity"),
    "time": ("'12:34'", "12:34:00"),
    "interval": ("'1 day 2 hours'", "1 day 02:00:00"),
    "int[]": ("'{1,NULL,3}'", [1, None, 3]),
    "int[][]": ("'{{1,2},{3,4}}'", [[1, 2], [3, 4]]),
    "text[]": (r"""ARRAY['a,b', 'NULL', '', 'q"\', NULL]""", ["a,b", "NULL", "", 'q"\\', None]),
    "bool[]": ("'[0:1]={t,f}'", [True, False]),
    "jsonb[]": ("""ARRAY['{"a":"b c"}'::jsonb]""", [{"a": "b c"}]),
    "timestamptz[]": ("ARRAY['2024-01-01 00:00+00'::timestamptz]", ["2024-01-01T00:00:00+00:00"]),
    "box[]": ("ARRAY[box '(1,1),(0,0)']", ["(1,1),(0,0)"]),
    "mood": ("'happy'", "happy"),
    "mood[]": ("ARRAY['happy', 'sad']::mood[]", ["happy", "sad"]),
    "small": ("7", 7),
    "small[]": ("ARRAY[7]::small[]", [7]),
    "pair": ("ROW(1, 'x')::pair", "(1,x)"),
    "int4range": ("'[1,5)'", "[1,5)"),
    "inet": ("'10.0.0.1'", "10.0.0.1"),
    "money": ("'12.34'", "$12.34"),
    "tsvector": ("'a:1'", "'a':1"),
}


async def test_every_type_is_mapped_and_copy_stream_and_read_give_the_same_draft(database: Database) -> None:
    columns = [f"c{number}" for number in range(len(TYPES))]
    await database.run(
        "CREATE TYPE mood AS ENUM ('happy', 'sad')",
        "CREATE DOMAIN small AS smallint CHECK (VALUE < 10)",
        "CREATE TYPE pair AS (n int, t text)",
        "CREATE TABLE things (id int PRIMARY KEY, content text, "
        + ", ".join(f"{name} {kind}" for name, kind in zip(columns, TYPES, strict=True))
        + ")",
    )
    insert = f"INSERT INTO things SELECT n, 'x', {', '.join(v for v, _ in TYPES.values())} FROM (VALUES (%s)) v(n)"
    await database.run(insert.replace("%s", "1"))
    mapping = TableMapping(table="public.things", metadata=tuple(columns))
    wanted = {
        name: value for name, (_, value) in zip(columns, TYPES.values(), strict=True) if not isinstance(value, dict)
    } | {"a": [1, 2.5, None, "x"]}
    async with database.capture(mapping) as capture:
        (copied,) = await copied_rows(capture, "public.things")
        await database.run(insert.replace("%s", "2"))
        (streamed,) = await events_now(capture)
        read = await capture.rows.read([DocumentKey("public.things", ("1",)), DocumentKey("public.things", ("2",))])
    assert isinstance(streamed, Upsert)
    assert copied.draft.metadata == streamed.draft.metadata == wanted
    by_key = {draft.key: draft for draft in read.rows}
    assert by_key == {copied.key: copied.draft, streamed.key: streamed.draft}


KEYS = {
    "bool": "true",
    "int": "5",
    "numeric": "1.10",
    "uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "timestamptz": "'2024-02-29 12:34:56.5+05:30'",
    "date": "'2024-02-29'",
    "bytea": r"'\x00ff'",
    "text": "E'a/b %\\t\\\\ ☃'",
    "char(4)": "'ab'",
    "float8": "1e-7",
}


@pytest.mark.parametrize("kind", KEYS)
async def test_a_key_of_any_type_is_the_same_text_in_copy_stream_and_read(database: Database, kind: str) -> None:
    await database.run(
        f'CREATE TABLE things (id {kind}, "odd ""n%me" int, content text, PRIMARY KEY ("odd ""n%me", id))',
        f"INSERT INTO things VALUES ({KEYS[kind]}, 1, 'x')",
        f"INSERT INTO things VALUES ({KEYS[kind]}, 2, 'x')",
        f"INSERT INTO things VALUES ({KEYS[kind]}, 3, 'x')",
    )
    mapping = TableMapping(table="public.things")
    async with database.capture(mapping) as capture:
        copied = [row.key for row in await copied_rows(capture, "public.things", size=1)]
        await database.run("UPDATE things SET content = 'y'", "DELETE FROM things")
        events = await events_now(capture)
        text = (await database.query("SELECT format('%s', id) FROM (SELECT 1) x, LATERAL (SELECT NULL id) y"))[0][0]
        await database.run(f"INSERT INTO things VALUES ({KEYS[kind]}, 1, 'x')")
        read = await capture.rows.read(copied)
    assert text == ""
    assert len(copied) == 3
    assert [event.key for event in events if isinstance(event, Upsert)] == copied
    assert [event.key for event in events if isinstance(event, Delete)] == copied
    assert [draft.key for draft in read.rows] == copied[:1]
    assert capture.mappings[0].key_columns == ('odd "n%me', "id")


async def test_rows_are_read_by_pages_in_key_order_with_position_and_snapshot(database: Database) -> None:
    await database.run("INSERT INTO documents SELECT lpad(n::text, 3, '0'), '', 'x' FROM generate_series(1, 25) n")
    async with database.capture() as capture, database.transaction() as connection:
        await connection.execute("INSERT INTO documents VALUES ('open', '', 'x')")
        ((xid,),) = await (await connection.execute("SELECT pg_current_xact_id()::text")).fetchall()
        pages, after = [], None
        while True:
            read = await capture.rows.page("public.documents", after, 10)
            pages.append([draft.key.values[0] for draft in read.rows])
            if len(read.rows) < 10:
                break
            after = read.rows[-1].key
        assert [len(page) for page in pages] == [10, 10, 5]
        assert [value for page in pages for value in page] == [f"{n:03}" for n in range(1, 26)]
        assert read.missed(int(xid) & 0xFFFFFFFF)
        await connection.commit()
        read = await capture.rows.read(
            [DocumentKey("public.documents", ("open",)), DocumentKey("public.documents", ("no",))]
        )
        assert not read.missed(int(xid) & 0xFFFFFFFF)
        assert [draft.key.values for draft in read.rows] == [("open",)]
        events = await events_now(capture)
        assert events[0].position.lsn < read.lsn


async def test_partitioned_tables_stream_under_the_name_of_the_root(database: Database) -> None:
    await database.run(
        "CREATE TABLE logs (id int, day date, content text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day)",
        "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        "CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
        "INSERT INTO logs VALUES (1, '2024-01-05', 'x'), (2, '2024-02-05', 'y')",
    )
    async with database.capture(TableMapping(table="public.logs")) as capture:
        assert len(await copied_rows(capture, "public.logs", size=1)) == 2
        await database.run(
            "UPDATE logs SET content = 'z' WHERE id = 1",
            "UPDATE logs SET day = '2024-02-06' WHERE id = 1",
            "CREATE TABLE logs_3 PARTITION OF logs FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')",
            "INSERT INTO logs VALUES (3, '2024-03-05', 'new partition')",
            "TRUNCATE logs",
        )
        events = await events_now(capture)
    assert [type(event) for event in events] == [Upsert, Delete, Upsert, Upsert, Truncate]
    moved = events[2]
    assert isinstance(moved, Upsert)
    assert moved.key == DocumentKey("public.logs", ("2024-02-06", "1"))


async def test_a_partition_without_replica_identity_is_refused_with_the_sql(database: Database) -> None:
    await database.run(
        "CREATE TABLE logs (id int PRIMARY KEY, content text) PARTITION BY RANGE (id)",
        "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (1) TO (10)",
        "ALTER TABLE logs_1 REPLICA IDENTITY NOTHING",
    )
    mapping = TableMapping(table="public.logs")
    await refused_then_mended(database, mapping, "Partitions of public.logs have REPLICA IDENTITY NOTHING")


async def refused_then_mended(database: Database, mapping: TableMapping, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        async with database.capture(mapping):
            pass
    assert await database.query("SELECT pubname FROM pg_publication") == []
    await database.run(caught.value.fix.replace("<columns>", "id"))
    async with database.capture(mapping):
        pass


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("CREATE TABLE t (id int NOT NULL, content text)", "has no primary key"),
        ("CREATE UNLOGGED TABLE t (id int PRIMARY KEY, content text)", "is unlogged"),
        ("CREATE TABLE t (id int PRIMARY KEY, content text); ALTER TABLE t REPLICA IDENTITY NOTHING", "NOTHING"),
        (
            """CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE NOT NULL, content text);
               ALTER TABLE t REPLICA IDENTITY USING INDEX t_n_key""",
            "does not contain the key",
        ),
    ],
)
async def test_a_table_that_cannot_be_captured_is_refused_and_the_sql_named_mends_it(
    database: Database, definition: str, message: str
) -> None:
    await database.run(*definition.split(";"))
    await refused_then_mended(database, TableMapping(table="public.t"), message)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (TableMapping(table="public.nowhere"), "public.nowhere does not exist"),
        (TableMapping(table="documents"), "without its schema"),
        (replace(DOCUMENTS, content="body"), "no column 'body'; it has id, title"),
        (replace(DOCUMENTS, key_columns=("title",)), "is not unique"),
        (replace(DOCUMENTS, key_columns=("extra",)), "may be null"),
        (TableMapping(table="public.seen", key_columns=("id",)), "is not a table"),
        (TableMapping(table="public.made", content="shout"), "is generated"),
    ],
)
async def test_a_mapping_that_does_not_fit_is_refused(database: Database, mapping: TableMapping, message: str) -> None:
    # What the stream does not carry: before PostgreSQL 18 no generated column, since then only virtual ones.
    kind = "STORED" if await _version(database) < 180000 else "VIRTUAL"
    await database.run(
        "CREATE VIEW seen AS SELECT id, content FROM documents",
        f"CREATE TABLE made (id int PRIMARY KEY, shout text GENERATED ALWAYS AS ('x') {kind})",
    )
    with pytest.raises(ConfigurationError, match=message):
        async with database.capture(mapping):
            pass


async def test_a_stored_generated_column_arrives(database: Database) -> None:
    if await _version(database) < 180000:
        pytest.skip("published from PostgreSQL 18 on")
    await database.run(
        "CREATE TABLE made (id int PRIMARY KEY, n text, content text GENERATED ALWAYS AS (upper(n)) STORED)",
        "ALTER TABLE made REPLICA IDENTITY FULL",
    )
    async with database.capture(TableMapping(table="public.made")) as capture:
        await database.run("INSERT INTO made (id, n) VALUES (1, 'loud')")
        (event,) = await events_now(capture)
    assert isinstance(event, Upsert)
    assert event.draft.content == "LOUD"


async def test_a_table_without_primary_key_works_with_full_identity_and_a_unique_key(database: Database) -> None:
    await database.run(
        "CREATE TABLE t (id int NOT NULL UNIQUE, content text)",
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "INSERT INTO t VALUES (1, 'x')",
    )
    async with database.capture(TableMapping(table="public.t", key_columns=("id",))) as capture:
        await database.run("UPDATE t SET id = 2", "DELETE FROM t")
        events = await events_now(capture)
    assert [type(event) for event in events] == [Delete, Upsert, Delete]


@pytest.mark.parametrize(
    "identity",
    ["DEFAULT", "FULL", "USING INDEX documents_pkey", "USING INDEX wide"],
    ids=["default", "full", "key", "wide"],
)
async def test_what_is_published_never_makes_the_users_update_fail(database: Database, identity: str) -> None:
    await database.run(
        "ALTER TABLE documents ALTER extra SET NOT NULL",
        "CREATE UNIQUE INDEX wide ON documents (id, extra)",
        f"ALTER TABLE documents REPLICA IDENTITY {identity}",
        "INSERT INTO documents VALUES ('a', '', 'x', '{}', 'e')",
    )
    async with database.capture() as capture:
        await database.run(
            "UPDATE documents SET extra = 'f'",
            "UPDATE documents SET id = 'b', content = 'y'",
            "DELETE FROM documents",
        )
        events = await events_now(capture)
    assert isinstance(events[-1], Delete)
    assert events[-1].key.values == ("b",)


async def test_only_the_mapped_columns_are_published(database: Database) -> None:
    async with database.capture():
        pass
    found = await database.query("SELECT attnames::text[] FROM pg_publication_tables")
    assert found == [(["id", "title", "content", "metadata"],)]


async def test_inherited_rows_are_left_out_by_copy_and_stream_alike(database: Database) -> None:
    await database.run(
        "CREATE TABLE heir () INHERITS (documents)",
        "INSERT INTO heir VALUES ('h', '', 'x')",
        "INSERT INTO documents VALUES ('d', '', 'x')",
    )
    async with database.capture() as capture:
        assert [row.key.values for row in await copied_rows(capture)] == [("d",)]
        await database.run("UPDATE heir SET content = 'y'", "UPDATE ONLY documents SET content = 'y'")
        assert len(await events_now(capture)) == 1


async def _version(database: Database) -> int:
    return int((await database.query("SHOW server_version_num"))[0][0])

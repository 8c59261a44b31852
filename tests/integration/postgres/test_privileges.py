"""Who may connect and read: the privileges of the documentation are enough, a missing one is named, so is a bad URL."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from integration.postgres.conftest import Database, copied_rows, events_now
from rtrag.adapters.postgres.connection import conninfo
from rtrag.domain.change import Truncate, Upsert
from rtrag.domain.errors import ConfigurationError, RtragError


def least_privilege() -> list[str]:
    """The SQL blocks of the page, in order."""
    page = (Path(__file__).parents[3] / "docs" / "least-privilege.md").read_text()
    return [block.partition("```")[0] for block in page.split("```sql\n")[1:]]


async def test_the_least_privileges_of_the_documentation_are_enough(database: Database) -> None:
    role = f"reader_{database.name}"
    setup = least_privilege()[0]
    assert "rtrag_reader" in setup
    statements = setup.replace("rtrag_reader", role).replace("rag_db", database.name).split(";")
    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as connection:
        for statement in statements:
            if statement.strip():
                await connection.execute(statement.encode())
    await database.run("INSERT INTO documents VALUES ('a', '', 'x')")
    url = make_conninfo(database.url, user=role, password="choose-one")
    try:
        async with database.capture(url=url) as capture:
            assert len(await copied_rows(capture)) == 1
            await database.run("UPDATE documents SET content = 'y'", "TRUNCATE documents")
            events = await events_now(capture)
            assert [type(event) for event in events] == [Upsert, Truncate]
            assert (await capture.rows.page("public.documents", None, 10)).rows == ()
            assert (await capture.slot_health())["wal_status"] == "reserved"
            state = capture.opening.state
        async with database.capture(url=url, state=state, copied={"public.documents": 1}) as capture:
            assert not capture.opening.copy
    finally:
        await database.drop_slots()
        await database.run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        ("ALTER ROLE {role} NOREPLICATION", "may not replicate"),
        ("ALTER ROLE {role} NOLOGIN", "is not permitted to log in"),
        ("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC", "permission denied for database"),
        ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", "may not use the schema"),
        ("REVOKE SELECT ON documents FROM {role}", "may not read column 'id'"),
        ("DROP PUBLICATION rtrag", "permission denied for database"),
    ],
)
async def test_a_missing_privilege_is_named_and_the_sql_named_mends_it(
    database: Database, taken: str, message: str
) -> None:
    role = f"poor_{database.name}"
    await database.run(
        f"CREATE ROLE {role} LOGIN REPLICATION",
        f"GRANT SELECT ON documents TO {role}",
        "CREATE PUBLICATION rtrag FOR TABLE ONLY documents",
        taken.format(role=role, database=database.name),
    )
    url = make_conninfo(database.url, user=role)
    try:
        with pytest.raises(ConfigurationError, match=message) as caught:
            async with database.capture(url=url):
                pass
        assert "Fix:" not in caught.value.message
        named = re.findall(r"(?:ALTER|GRANT|CREATE|COMMENT)[^;]*;", caught.value.fix)
        await database.run(*[statement for statement in named if "rds_replication" not in statement])
        async with database.capture(url=url):
            pass
    finally:
        await database.drop_slots()
        await database.run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


async def test_a_role_that_does_not_exist_is_told_in_words(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="does not let this role in") as caught:
        async with database.capture(url=make_conninfo(database.url, user="nobody_at_all")):
            pass
    assert "correct the URL" in caught.value.fix


async def test_row_level_security_that_would_hide_rows_is_refused(database: Database) -> None:
    role = f"hidden_{database.name}"
    await database.run(
        f"CREATE ROLE {role} LOGIN REPLICATION",
        f"GRANT SELECT ON documents TO {role}",
        "ALTER TABLE documents ENABLE ROW LEVEL SECURITY",
    )
    try:
        with pytest.raises(ConfigurationError, match="Row level security") as caught:
            async with database.capture(url=make_conninfo(database.url, user=role)):
                pass
        assert f'ALTER ROLE "{role}" BYPASSRLS;' in caught.value.fix
    finally:
        await database.run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


@pytest.mark.parametrize("url", ["postgresql://%zz", "host=/nowhere dbname=x", "postgresql://127.0.0.1:1/x"])
async def test_a_server_that_is_not_there_or_a_bad_url_is_told_in_words(database: Database, url: str) -> None:
    with pytest.raises(RtragError, match=r"URL of PostgreSQL|connecting to PostgreSQL"):
        async with database.capture(url=url):
            pass


@pytest.mark.parametrize(
    "url",
    ["mysql://me:hush@db/x", "postgresql://me:hu%sh@db/x", "postgresql://me:hu/sh@db/x", "postgresql://a:hush@b:9x/c"],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="URL of PostgreSQL cannot be read") as caught:
        conninfo(url)
    assert not re.search("hu.{0,2}sh|9x", str(caught.value))

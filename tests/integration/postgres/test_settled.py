"""Settled points and reads: nothing written at or below them is still to commit."""

import asyncio

import psycopg
import pytest

from integration.postgres.conftest import DOCUMENTS, Database
from rtrag.adapters.postgres.settled import Identity
from rtrag.adapters.postgres.source_database import SourceDatabase, open_source_database
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import SourceInterruptedError

KEY = DocumentKey("public.documents", ("a",))


async def test_a_settled_read_waits_for_a_transaction_that_wrote_before_it_and_holds_its_change(
    database: Database,
) -> None:
    await database.run("INSERT INTO documents VALUES ('a', '', 'before')")
    async with (
        open_source_database(database.url, (DOCUMENTS,)) as source,
        await psycopg.AsyncConnection.connect(database.url) as writer,
    ):
        await writer.execute("UPDATE documents SET content = 'after' WHERE id = 'a'")
        settled = asyncio.create_task(source.rows_apart.read([KEY]))
        plain = await source.rows.read([KEY])
        await wait_until_asked(source)
        assert not settled.done(), "the change lies below the position and is not in any snapshot yet"
        await writer.commit()
        read = await settled
    assert [draft.content for draft in plain.rows] == ["before"]
    assert [draft.content for draft in read.rows] == ["after"]


async def test_a_transaction_that_begins_to_write_later_holds_up_nothing(database: Database) -> None:
    async with (
        open_source_database(database.url, (DOCUMENTS,)) as source,
        await psycopg.AsyncConnection.connect(database.url) as reader,
    ):
        await reader.execute("SELECT 1")  # open, and has written nothing
        point = await source.positions.point()
    assert point.reached > point.lsn


async def test_a_slot_that_does_not_exist_is_confirmed_nowhere(database: Database) -> None:
    async with open_source_database(database.url, (DOCUMENTS,)) as source:
        assert await source.positions.confirmed("nobodys_slot") is None


async def test_column_types_name_enums_and_the_base_of_domains(database: Database) -> None:
    await database.run("CREATE TYPE mood AS ENUM ('good', 'bad')")
    await database.run("CREATE DOMAIN short AS varchar(10)")
    await database.run("CREATE DOMAIN shorter AS short")
    await database.run("ALTER TABLE documents ADD COLUMN how mood, ADD COLUMN code shorter")
    async with open_source_database(database.url, (DOCUMENTS,)) as source:
        types = source.column_types["public.documents"]
    assert (types["how"], types["code"], types["metadata"]) == ("enum", "character varying", "jsonb")


async def wait_until_asked(source: SourceDatabase) -> None:
    """Two questions to the server take longer than the settled read needs to have begun."""
    for _ in range(2):
        await source.positions.confirmed("nobodys_slot")
    await asyncio.sleep(0.1)


async def test_another_server_behind_the_address_is_noticed_at_the_next_point(database: Database) -> None:
    async with open_source_database(database.url, (DOCUMENTS,)) as source:
        await source.positions.point()
        source.positions._known = Identity(system_identifier="1", timeline=1)  # as before a failover
        with pytest.raises(SourceInterruptedError, match="another server, or another history"):
            await source.positions.point()

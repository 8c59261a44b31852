"""A connection that is kept for later: whoever asks for it gets one that works, whatever the server did meanwhile."""

import asyncio

from integration.postgres.conftest import Database
from rtrag.adapters.postgres.connection import Reconnecting, rows


async def asked(kept: Reconnecting) -> int:
    """The process that answers."""
    [(pid,)] = await rows(await kept.get(), "SELECT pg_backend_pid()", doing="asking who answers")
    return int(pid)


async def test_a_connection_that_the_server_ended_while_nobody_used_it_is_opened_again(database: Database) -> None:
    kept = Reconnecting(database.url)
    try:
        first = await asked(kept)
        assert await asked(kept) == first
        assert await database.query("SELECT pg_terminate_backend(%s, 5000)", (first,)) == [(True,)]
        assert await asked(kept) != first
    finally:
        await kept.close()


async def test_a_connection_in_use_is_left_alone(database: Database) -> None:
    """Its answer may just be coming in."""
    kept = Reconnecting(database.url)
    try:
        connection = await kept.get()
        sleeping = asyncio.create_task(rows(connection, "SELECT pg_sleep(0.3)", doing="sleeping"))
        while not sleeping.done():
            assert await kept.get() is connection
            await asyncio.sleep(0.001)
        assert len(await sleeping) == 1
    finally:
        await kept.close()

"""PostgreSQL in a folder, for those who have none: started with us, stopped with us."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from rtrag.adapters.folder_lock import hold_folder
from rtrag.adapters.postgres.cluster import Cluster, Running, locate
from rtrag.adapters.postgres.keeper import Keeper, Tell, start_server
from rtrag.adapters.postgres.server_settings import PORT
from rtrag.domain.errors import ConfigurationError

DATABASE = "rag_db"
USER = "rag_user"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPostgres:
    """A running server of our own.

    Attributes:
        url: connection URL of the database's owner, for psycopg and ``psql`` alike; no password is needed, the
            socket lies in a folder that only this user (and root) may enter.
        superuser_url: the same for the superuser.
        psql: the ``psql`` that belongs to the server.
        log: the server's log file.
        pid: process id of the server.
        adopted: whether it was still running from an earlier process that was killed.
    """

    url: str
    superuser_url: str
    psql: Path
    log: Path
    pid: int
    adopted: bool


@asynccontextmanager
async def open_embedded_postgres(folder: Path, tell: Tell = lambda _: None) -> AsyncIterator[EmbeddedPostgres]:
    """Run PostgreSQL in ``folder``, which is made if it is missing and which nothing else is kept in.

    The database ``rag_db`` belongs to ``rag_user``, who may replicate, and has the table ``public.documents``.
    A server that ends by itself is started again: ``tell`` hears of that, and None when it is back. Leaving stops the
    server. Raises ConfigurationError with the cause and the fix: folder in use, not writable, disk full, no account to
    run as.
    """
    with hold_folder(folder):
        cluster = await asyncio.to_thread(locate, folder)
        keeper = Keeper(cluster, await start_server(cluster), tell)
        try:
            described = await _describe(cluster, keeper.running)
            async with keeper.keeping():
                yield described
        finally:
            await asyncio.shield(asyncio.to_thread(cluster.stop, keeper.running))


async def _describe(cluster: Cluster, running: Running) -> EmbeddedPostgres:
    url = _url(USER, DATABASE, running.socket_folder)
    superuser_url = _url("postgres", "postgres", running.socket_folder)
    try:
        await _create_database(superuser_url)
        await _create_tables(url)
    except psycopg.Error as exc:
        raise ConfigurationError(
            f"The embedded PostgreSQL in {cluster.folder} runs, but its database could not be set up: {exc}.",
            fix=f"see {cluster.log}; if the disk is full, free some space and start again.",
        ) from exc
    return EmbeddedPostgres(
        url=url,
        superuser_url=superuser_url,
        psql=cluster.binaries / "psql",
        log=cluster.log,
        pid=running.process.pid,
        adopted=running.child is None,
    )


def _url(user: str, database: str, socket_folder: Path) -> str:
    return f"postgresql://{user}@/{database}?host={quote(str(socket_folder), safe='/')}&port={PORT}"


async def _create_database(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
        if await found.fetchone() is None:
            await connection.execute(sql.SQL("CREATE ROLE {} LOGIN REPLICATION").format(sql.Identifier(USER)))
        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if await found.fetchone() is None:
            statement = sql.SQL("CREATE DATABASE {} OWNER {}")
            await connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(USER)))


async def _create_tables(url: str) -> None:
    schema = resources.files("rtrag.adapters.postgres").joinpath("schema.sql").read_bytes()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(schema)

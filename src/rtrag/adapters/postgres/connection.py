"""Connections to the source database, and what PostgreSQL's errors mean to us."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector
from types import MappingProxyType
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from rtrag.domain.errors import ConfigurationError, RtragError, ServiceUnavailableError

APPLICATION_NAME: Final = "rtrag"

# Text output must not depend on who asks: stream, copy and reads have to give the same text for the same value.
SESSION: dict[str, str] = {
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
}
# Seconds, but for tcp_user_timeout, in milliseconds: a peer that is gone is noticed in about a minute.
_NETWORK: Mapping[str, str] = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Meaning:
    what: str
    fix: str


_CONFIGURATION: Mapping[str, _Meaning] = {
    "42501": _Meaning("The role lacks a privilege", "grant it, see docs/least-privilege.md for all that is needed"),
    "42P01": _Meaning("A table does not exist", "correct the table's name (schema.table) in the configuration"),
    "42703": _Meaning("A column does not exist", "correct the column's name in the configuration"),
    "3D000": _Meaning("The database does not exist", "correct the database's name in the URL"),
    "28P01": _Meaning("The password is not accepted", "correct user and password in the URL"),
    "28000": _Meaning("The server does not let this role in", "correct the URL, or pg_hba.conf on the server"),
    "25006": _Meaning("The server only accepts reads", "point the URL to the primary"),
}
# Failures while connecting carry no SQLSTATE, only the server's words.
_CONNECT_WORDS: Mapping[str, str] = {
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
    "no password supplied": "28P01",
    "must be superuser or replication role": "42501",
    "permission denied to start WAL sender": "42501",
    "permission denied for database": "42501",
    "is not permitted to log in": "28000",
}
_MAX_PORT: Final = 65_535


def _state_of(error: psycopg.Error) -> str | None:
    if error.sqlstate:
        return error.sqlstate
    message = str(error)
    for words, state in _CONNECT_WORDS.items():
        if words in message:
            return state
    if 'role "' in message and "does not exist" in message:
        return "28000"
    return "3D000" if 'database "' in message and "does not exist" in message else None


def domain_error(error: psycopg.Error, doing: str, mending: Mapping[str, str] = MappingProxyType({})) -> RtragError:
    """What to do about an error of PostgreSQL that came up while ``doing``.

    ``mending`` has the fix for errors with certain words, where the caller knows a better one than the general.
    """
    words = " ".join(str(error).split()) or type(error).__name__
    meaning = _CONFIGURATION.get(_state_of(error) or "")
    if meaning is not None:
        fix = next((fix for said, fix in mending.items() if said in words), meaning.fix)
        return ConfigurationError(f"{meaning.what}, while {doing}: {words.rstrip('.')}.", fix=fix)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError):
        return ServiceUnavailableError(f"PostgreSQL failed while {doing}: {words}")
    return ConfigurationError(
        f"PostgreSQL refused while {doing}: {words}.", fix="change what the server's message names"
    )


@contextmanager
def mapped(doing: str, mending: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Turn PostgreSQL's errors into ours; see ``domain_error``."""
    try:
        yield
    except psycopg.Error as exc:
        raise domain_error(exc, doing, mending) from exc


def conninfo(url: str, settings: Mapping[str, str] | None = None, **parameters: str) -> str:
    """The connection string: ours for the session, the URL's for everything else that it names."""
    given = _parts(url)
    session = {**SESSION, **(settings or {})}
    ours = " ".join(f"-c {name}={value}" for name, value in session.items() if name != "client_encoding")
    given["options"] = f"{given.get('options', '')} {ours}".strip()
    fixed = {"application_name": APPLICATION_NAME, "client_encoding": session["client_encoding"], **parameters}
    return make_conninfo("", **{**_NETWORK, **given, **fixed})


def _parts(url: str) -> dict[str, str]:
    """What the URL names. Raises ConfigurationError in words that quote nothing of it: it may hold a password."""
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as exc:
        said = re.sub(r':?\s*"[^"]*"', "", " ".join(str(exc).split()))
        reason = said if re.match("postgres(ql)?://", url) else "it does not begin with postgresql://"
        raise _unreadable(reason) from None
    ports = [port for port in given.get("port", "").split(",") if port]
    if not all(port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT for port in ports):
        raise _unreadable(f"its port is no number up to {_MAX_PORT}")
    return given


def _unreadable(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The URL of PostgreSQL cannot be read: {reason}.",
        fix="write it as postgresql://user:password@host:5432/database, in user and password %40 for @, %2F for / and "
        "%3A for :",
    )


async def connect(url: str, settings: Mapping[str, str] | None = None, **parameters: str) -> Connection:
    """An autocommit connection. Raises ConfigurationError or ServiceUnavailableError."""
    with mapped("connecting to PostgreSQL", _mending(url)):
        connection = await psycopg.AsyncConnection.connect(
            conninfo(url, settings, **parameters), autocommit=True, cursor_factory=psycopg.AsyncRawCursor
        )
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            # Such a database may hold any bytes; asked for UTF-8, the server would end the stream at the first odd one.
            await connection.execute("SET client_encoding TO SQL_ASCII")
        return connection


def _mending(url: str) -> Mapping[str, str]:
    """The SQL that lets the URL's role in, by the words of the server that ask for it."""
    given = _parts(url)
    role = quoted(given["user"]) if "user" in given else "<this role>"
    database = quoted(given.get("dbname") or given.get("user") or "")
    return {
        'FATAL: database "': f"correct the database's name in the URL, or make it: CREATE DATABASE {database};",
        "permission denied for database": f"GRANT CONNECT ON DATABASE {database} TO {role};",
        "is not permitted to log in": f"ALTER ROLE {role} LOGIN;",
        "must be superuser or replication role": f"ALTER ROLE {role} REPLICATION;",
        "permission denied to start WAL sender": f"ALTER ROLE {role} REPLICATION;",
    }


@asynccontextmanager
async def connected(url: str, settings: Mapping[str, str] | None = None) -> AsyncIterator[Connection]:
    """A connection for the length of a block."""
    connection = await connect(url, settings)
    try:
        yield connection
    finally:
        await connection.close()


class Reconnecting:
    """A connection that is opened when first needed, and again after it broke."""

    def __init__(self, url: str, settings: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._settings = settings
        self._connection: Connection | None = None

    async def get(self) -> Connection:
        """The open connection. Raises ConfigurationError or ServiceUnavailableError."""
        if self._connection is None or self._connection.closed or _ended(self._connection):
            await self.close()
            self._connection = await connect(self._url, self._settings)
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


def _ended(connection: Connection) -> bool:
    """Whether the server has ended a connection that nobody uses: unasked, it says nothing but that."""
    if connection.broken:
        return True
    if connection.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    with DefaultSelector() as selector:
        selector.register(connection.fileno(), EVENT_READ)
        return bool(selector.select(0))


async def rows(
    connection: Connection, query: str, parameters: Sequence[object] = (), *, doing: str
) -> list[tuple[Any, ...]]:
    """All rows of a query; placeholders are $1, $2, …"""
    with mapped(doing):
        cursor = await connection.execute(query.encode(), parameters or None)
        found = await cursor.fetchall()
    return [tuple(_plain(value) for value in row) for row in found]


def _plain(value: Any) -> Any:
    """Names and numbers of the catalog as text, also where psycopg gives bytes (a database in SQL_ASCII)."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return [_plain(item) for item in value] if isinstance(value, list) else value


def quoted(identifier: str) -> str:
    """An identifier as SQL reads it."""
    return sql.Identifier(identifier).as_string(None)

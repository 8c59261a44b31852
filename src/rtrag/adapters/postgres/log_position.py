"""How far the log of a server is, for who only reads the index: a position to wait for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from rtrag.adapters.postgres.connection import Reconnecting, rows
from rtrag.domain.position import parse_lsn

_NOW: Final = "SELECT pg_current_wal_insert_lsn()::text"


class LogPosition:
    """Port Barriers. Who moves the watermark past the position is somebody else: it writes nothing."""

    def __init__(self, connection: Reconnecting) -> None:
        self._connection = connection

    async def barrier(self) -> int:
        """See Barriers. Raises ConfigurationError or ServiceUnavailableError."""
        ((now,),) = await rows(await self._connection.get(), _NOW, doing="asking how far the log is")
        return parse_lsn(now)


@asynccontextmanager
async def open_log_position(url: str) -> AsyncIterator[LogPosition]:
    """Connects when it is first asked."""
    connection = Reconnecting(url)
    try:
        yield LogPosition(connection)
    finally:
        await connection.close()

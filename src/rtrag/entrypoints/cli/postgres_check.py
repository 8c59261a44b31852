"""Whether the user's PostgreSQL can be captured from, without changing anything there."""

from typing import TYPE_CHECKING

from rtrag.adapters.postgres.connection import connected
from rtrag.adapters.postgres.server_check import check_server
from rtrag.adapters.postgres.table_check import check_tables

if TYPE_CHECKING:
    from rtrag.config import Settings


async def check_postgres(settings: "Settings") -> None:
    """Raise ConfigurationError with the SQL that mends it, TransientError if the server does not answer."""
    if settings.postgres_url is None:
        return
    mappings = [table for collection in settings.mapped_collections() for table in collection.tables]
    async with connected(settings.postgres_url.get_secret_value()) as connection:
        await check_server(connection, settings.source.slot)
        await check_tables(connection, mappings)

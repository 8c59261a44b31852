"""Filling the default table with documents that come with the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg.types.json import Jsonb

from rtrag.adapters.postgres.connection import domain_error
from rtrag.samples import SampleDocument

_INSERT = """
INSERT INTO public.documents (id, title, content, metadata) VALUES (%s, %s, %s, %s)
ON CONFLICT (id) DO NOTHING
"""
_REPLACE = """
UPDATE public.documents SET title = %(title)s, content = %(content)s, metadata = %(metadata)s
WHERE id = %(id)s AND (title, content, metadata) IS DISTINCT FROM (%(title)s, %(content)s, %(metadata)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was done: rows inserted, rows set back to the sample's text, rows left as they were."""

    inserted: int
    replaced: int
    kept: int
    table_created: bool


async def fill_documents(url: str, documents: Sequence[SampleDocument], *, replace: bool = False) -> Filled:
    """Put documents into ``public.documents``, in one transaction; the table is made if it is missing.

    Rows that are there already stay, unless ``replace`` asks for the sample's text. Running it again changes
    nothing. Raises ConfigurationError or ServiceUnavailableError.
    """
    try:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            created = await _create_table(connection)
            inserted = replaced = 0
            for document in documents:
                metadata = Jsonb(dict(document.metadata))
                values = (document.id, document.title, document.content, metadata)
                done = await connection.execute(_INSERT, values)
                inserted += done.rowcount
                if replace and not done.rowcount:
                    names = ("id", "title", "content", "metadata")
                    replaced += (await connection.execute(_REPLACE, dict(zip(names, values, strict=True)))).rowcount
    except psycopg.Error as exc:
        raise domain_error(exc, "filling public.documents") from exc
    kept = len(documents) - inserted - replaced
    return Filled(inserted=inserted, replaced=replaced, kept=kept, table_created=created)


async def _create_table(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> bool:
    found = await connection.execute("SELECT to_regclass('public.documents') IS NOT NULL")
    if await found.fetchone() == (True,):
        return False
    await connection.execute(resources.files("rtrag.adapters.postgres").joinpath("schema.sql").read_bytes())
    return True

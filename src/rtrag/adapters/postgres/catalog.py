"""Converters by type OID: the built-in types at once, those of the user looked up in pg_type when first met."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtrag.adapters.postgres.connection import Reconnecting, rows
from rtrag.adapters.postgres.types import BUILT_IN, Converter, array_of, text

_TYPES = """
WITH RECURSIVE wanted AS (
    SELECT oid, typtype, typbasetype, typelem, typcategory, typdelim FROM pg_type WHERE oid = ANY($1::bigint[]::oid[])
  UNION
    SELECT t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory, t.typdelim
    FROM wanted w JOIN pg_type t ON t.oid IN (w.typbasetype, w.typelem)
)
SELECT oid::bigint, typtype::text, typbasetype::bigint, typelem::bigint, typcategory::text,
       (SELECT e.typdelim::text FROM pg_type e WHERE e.oid = wanted.typelem)
FROM wanted
"""


@dataclass(frozen=True, slots=True)
class TypeRow:
    """A row of pg_type; ``delimiter`` is that of an array's element type."""

    oid: int
    kind: str
    base: int
    element: int
    category: str
    delimiter: str | None


def converters_of(types: Iterable[TypeRow]) -> dict[int, Converter]:
    """Domains convert as their base type, arrays by their element, the rest is text."""
    by_oid = {row.oid: row for row in types}
    known: dict[int, Converter] = dict(BUILT_IN)

    def resolve(oid: int) -> Converter:
        if oid in known:
            return known[oid]
        row = by_oid.get(oid)
        if row is None:
            return text
        if row.kind == "d":
            return resolve(row.base)
        if row.category == "A" and row.element:
            return array_of(resolve(row.element), row.delimiter or ",")
        return text

    return {oid: resolve(oid) for oid in by_oid}


class TypeCatalog:
    """Converters of the types met so far."""

    def __init__(self, connection: Reconnecting) -> None:
        self._connection = connection
        self._known: dict[int, Converter] = dict(BUILT_IN)

    async def converters(self, oids: Iterable[int]) -> Mapping[int, Converter]:
        """A converter for each of these types. Raises ServiceUnavailableError when the server is away."""
        wanted = set(oids)
        unknown = sorted(wanted - self._known.keys())
        if unknown:
            connection = await self._connection.get()
            found = await rows(connection, _TYPES, (unknown,), doing="reading types")
            self._known |= dict.fromkeys(unknown, text) | converters_of(TypeRow(*row) for row in found)
        return self._known

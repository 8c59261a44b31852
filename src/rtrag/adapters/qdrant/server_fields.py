"""Which fields of filterable metadata have a payload index on the server.

Each is indexed before its first value is written, whichever process writes it, so a field without an index holds no
value in any point. All types of a field are indexed at once: a name is then known or it is not, and only a filter on
a name that nobody ever wrote asks the server again.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias, get_args

from qdrant_client import AsyncQdrantClient
from qdrant_client.models import (
    FloatIndexParams,
    FloatIndexType,
    IntegerIndexParams,
    IntegerIndexType,
    KeywordIndexParams,
    KeywordIndexType,
)

from rtrag.adapters.qdrant.points import (
    KIND,
    PLACE,
    POSITION_FIELDS,
    QUOTE,
    TABLE,
    ValueType,
    filter_field,
    path,
    type_of_field,
)

IndexParams: TypeAlias = KeywordIndexParams | FloatIndexParams | IntegerIndexParams

_TYPES: Final[tuple[ValueType, ...]] = get_args(ValueType)


class PayloadIndexes:
    """Makes payload indexes, and knows those of filterable metadata; ``in`` tells whether a field has one."""

    def __init__(self, client: AsyncQdrantClient, collection: str, *, on_disk: bool) -> None:
        self._client = client
        self._collection = collection
        self._on_disk = on_disk
        self._known: set[str] = set()
        self._listed = True

    def __contains__(self, field: object) -> bool:
        return field in self._known or not self._listed

    async def prepare(self) -> None:
        """Make the indexes that every collection has: what searches, scans and guards look at."""
        present = await self._listing()
        keyword = KeywordIndexParams(type=KeywordIndexType.KEYWORD, on_disk=self._on_disk)
        place = FloatIndexParams(type=FloatIndexType.FLOAT, on_disk=self._on_disk)
        # Guards look at the points of a write alone, so these can stay on disk always.
        position = IntegerIndexParams(type=IntegerIndexType.INTEGER, on_disk=True)
        wanted: dict[str, IndexParams] = {TABLE: keyword, KIND: keyword, PLACE: place}
        wanted |= dict.fromkeys(POSITION_FIELDS, position)
        for field, schema in wanted.items():
            if field not in present:
                await self._create(field, schema)
        # The client's local mode has no indexes and lists none: there every field may hold values.
        self._listed = TABLE in await self._listing()

    async def ensure(self, names: Iterable[str]) -> None:
        """Make the indexes of these filterable fields, before their first values are written."""
        for field in await self._unknown(names):
            await self._create(field, self._schema(field))
            self._known.add(field)

    async def look_up(self, names: Iterable[str]) -> None:
        """Learn of indexes that another process may have made for these filterable fields."""
        await self._unknown(names)

    async def _unknown(self, names: Iterable[str]) -> list[str]:
        fields = [filter_field(name, kind) for name in dict.fromkeys(names) for kind in _TYPES]
        if all(field in self._known for field in fields):
            return []
        if self._listed:
            self._known |= await self._listing()
        return [field for field in fields if field not in self._known]

    async def _listing(self) -> set[str]:
        info = await self._client.get_collection(self._collection)
        return {field.replace(QUOTE, "") for field in info.payload_schema}

    async def _create(self, field: str, schema: IndexParams) -> None:
        await self._client.create_payload_index(self._collection, path(field), schema, wait=True)

    def _schema(self, field: str) -> IndexParams:
        if type_of_field(field) == "number":
            return FloatIndexParams(type=FloatIndexType.FLOAT, on_disk=self._on_disk)
        return KeywordIndexParams(type=KeywordIndexType.KEYWORD, on_disk=self._on_disk)

"""Documents and their keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import quote, unquote

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Scalar: TypeAlias = bool | int | float | str
Format: TypeAlias = Literal["markdown", "rst", "html", "text"]


class Missing(Enum):
    """A value that capture could not send (an unchanged TOAST column): missing is not null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True, order=True)
class DocumentKey:
    """Source table and primary key; ``str()`` is its stable text form, ``public.documents/doc-1``.

    A key that is not UTF-8, which a database in SQL_ASCII may hold, has its odd bytes as Python escapes them
    (``surrogateescape``), so that its row can be found again.

    Attributes:
        table: schema-qualified table name, ``public.documents``.
        values: the primary key's columns as text, in key order.
    """

    table: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return _text((self.table, *self.values))

    @property
    def id(self) -> str:
        """The primary key alone, as the HTTP paths show it."""
        return _text(self.values)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``str()`` wrote; ValueError if a part is missing."""
        table, *values = (unquote(part, errors="surrogateescape") for part in text.split("/"))
        if not table or not values:
            raise ValueError(f"not a document key: {text!r}, expected table/key as in public.documents/doc-1")
        return cls(table, tuple(values))


@lru_cache(maxsize=32_768)
def _text(parts: tuple[str, ...]) -> str:
    return "/".join(quote(part, safe=".~-_:@ ", errors="surrogateescape") for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One row of a source table, mapped.

    ``metadata`` is the row's, ``headers`` what the content's front matter says. ``filterable`` is the part of
    both that searches may filter by: scalars, or lists of scalars.
    ``version`` is None where the table has no version column.
    """

    key: DocumentKey
    title: str
    content: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)
    filterable: Mapping[str, Json] = field(default_factory=dict)
    version: int | None = None
    format: Format = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDraft:
    """A row as capture delivered it: what it could not send is MISSING.

    ``incomplete`` says that the missing parts cannot be taken from the index (one column of a content
    template, some metadata columns), so the row has to be read.
    """

    key: DocumentKey
    title: str | Missing
    content: str | Missing
    metadata: Mapping[str, Json] | Missing
    version: int | None = None
    incomplete: bool = False

    @property
    def has_all(self) -> bool:
        return not self.incomplete and MISSING not in (self.title, self.content, self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document as the update API shows it: the row, not the index."""

    key: DocumentKey
    title: str
    content: str
    metadata: Mapping[str, Json]
    version: int | None
    created_at: datetime | None
    updated_at: datetime | None

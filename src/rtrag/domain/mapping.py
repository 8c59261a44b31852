"""How a row of a table becomes a document."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

from rtrag.domain.conditions import Condition, all_match
from rtrag.domain.document import MISSING, DocumentDraft, DocumentKey, Format, Json, Missing

RowValue: TypeAlias = "Json | Missing"
FormatChoice: TypeAlias = Format | Literal["auto"]
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMapping:
    r"""A table of the user and what its columns mean.

    Attributes:
        table: schema-qualified name, ``public.documents``.
        key_columns: the primary key, in order; empty means "as the database says".
        title: column of the title, None for no title.
        content: a column name, or a template over several as in ``"{summary}\\n\\n{body}"``.
        metadata: columns kept as metadata; one that holds a JSON object is spread into its fields.
        filterable: metadata fields that searches may filter by; None means every scalar field from columns.
        version: integer column that counts versions, None for none.
        row_filter: conditions a row must meet to be a document.
        writable: whether our own API may write documents to the table.
    """

    table: str
    key_columns: tuple[str, ...] = ()
    title: str | None = None
    content: str = "content"
    metadata: tuple[str, ...] = ()
    filterable: tuple[str, ...] | None = None
    version: str | None = None
    format: FormatChoice = "auto"
    row_filter: tuple[Condition, ...] = field(default=())
    writable: bool = False

    @property
    def content_columns(self) -> tuple[str, ...]:
        """The columns that the content is made of."""
        return _content_columns(self.content)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is needed, each once."""
        wanted = (
            *self.key_columns,
            *((self.title,) if self.title else ()),
            *self.content_columns,
            *self.metadata,
            *((self.version,) if self.version else ()),
            *(condition.field for condition in self.row_filter),
        )
        return tuple(dict.fromkeys(wanted))


@lru_cache
def _content_columns(content: str) -> tuple[str, ...]:
    return tuple(_PLACEHOLDER.findall(content)) or (content,)


def draft_of(mapping: TableMapping, row: Mapping[str, RowValue]) -> DocumentDraft | None:
    """Map a row; None if the row filter excludes it.

    Values are JSON already (text, numbers, booleans, objects); MISSING marks unchanged TOAST columns.
    Raises KeyError with the column's name when the row lacks a column that the mapping needs.
    """
    key = DocumentKey(mapping.table, tuple(_text(row[column]) for column in mapping.key_columns))
    filter_values = {condition.field: row[condition.field] for condition in mapping.row_filter}
    known = {name: value for name, value in filter_values.items() if not isinstance(value, Missing)}
    decidable = tuple(condition for condition in mapping.row_filter if condition.field in known)
    if not all_match(decidable, known):
        return None
    content, content_partial = _content(mapping, row)
    metadata, metadata_partial = _metadata(mapping, row)
    title = row[mapping.title] if mapping.title else ""
    version = row[mapping.version] if mapping.version else None
    return DocumentDraft(
        key=key,
        title=title if isinstance(title, Missing) else _text(title),
        content=content,
        metadata=metadata,
        version=version if isinstance(version, int) else None,
        incomplete=content_partial or metadata_partial or len(known) < len(filter_values),
    )


def _content(mapping: TableMapping, row: Mapping[str, RowValue]) -> tuple[str | Missing, bool]:
    values = {column: row[column] for column in mapping.content_columns}
    missing = sum(isinstance(value, Missing) for value in values.values())
    if missing:
        return MISSING, missing < len(values)
    if mapping.content in values:
        return _text(values[mapping.content]), False
    return _PLACEHOLDER.sub(lambda match: _text(values[match.group(1)]), mapping.content), False


def _metadata(mapping: TableMapping, row: Mapping[str, RowValue]) -> tuple[dict[str, Json] | Missing, bool]:
    fields: dict[str, Json] = {}
    missing = 0
    for column in mapping.metadata:
        value = row[column]
        if isinstance(value, Missing):
            missing += 1
        elif isinstance(value, dict):
            fields.update(value)
        elif value is not None:
            fields[column] = value
    if missing:
        return MISSING, missing < len(mapping.metadata)
    return fields, False


def _text(value: RowValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)

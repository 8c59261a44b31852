"""Collections and their tables as they are configured."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rtrag.domain.conditions import Condition, Operator
from rtrag.domain.document import Scalar
from rtrag.domain.mapping import FormatChoice, TableMapping


class RowFilter(BaseModel):
    """A condition that a row must meet to be a document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str = Field(min_length=1, description="column")
    operator: Operator = Field(default="eq", description="eq, ne, in, lt, lte, gt, gte")
    value: Scalar | tuple[Scalar, ...] = Field(description="what the column is compared with; a list for `in`")

    @model_validator(mode="after")
    def _list_for_in(self) -> Self:
        if isinstance(self.value, tuple) != (self.operator == "in"):
            raise ValueError("operator `in` takes a list, every other operator a single value")
        return self

    def condition(self) -> Condition:
        """The same in the domain's words."""
        return Condition(field=self.field, operator=self.operator, value=self.value)


class TableSettings(BaseModel):
    """A table and what its columns mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(min_length=1, description="name, with its schema unless that is public")
    key: tuple[str, ...] = Field(default=(), description="columns of the primary key; empty: as the database says")
    title: str | None = Field(default=None, description="column of the title")
    content: str = Field(
        default="content", min_length=1, description="column, or a template as in '{summary}\\n\\n{body}'"
    )
    metadata: tuple[str, ...] = Field(default=(), description="columns kept as metadata; a JSON object is spread")
    filterable: tuple[str, ...] | None = Field(default=None, description="metadata fields that queries may filter by")
    version: str | None = Field(default=None, description="integer column that counts versions")
    format: FormatChoice = Field(default="auto", description="auto, markdown, rst, html, text")
    row_filter: tuple[RowFilter, ...] = Field(default=(), description="conditions a row must meet to be a document")
    writable: bool = Field(default=False, description="whether the API may write documents to it")

    @property
    def qualified_name(self) -> str:
        """The name with its schema."""
        return self.table if "." in self.table else f"public.{self.table}"

    def mapping(self, *, writable: bool | None = None) -> TableMapping:
        """The same in the domain's words."""
        return TableMapping(
            table=self.qualified_name,
            key_columns=self.key,
            title=self.title,
            content=self.content,
            metadata=self.metadata,
            filterable=self.filterable,
            version=self.version,
            format=self.format,
            row_filter=tuple(item.condition() for item in self.row_filter),
            writable=self.writable if writable is None else writable,
        )


class CollectionSettings(BaseModel):
    """A named index over one or more tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="lower case letters, digits, - and _")
    tables: tuple[TableSettings, ...] = Field(min_length=1, description="its tables")


DOCUMENTS = TableSettings(
    table="public.documents",
    key=("id",),
    title="title",
    content="content",
    metadata=("metadata",),
    version="version",
)

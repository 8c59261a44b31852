"""The shapes of the update API: documents, writes and the tokens of writes."""

from datetime import datetime
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rtrag.application.services import DocumentWritten
from rtrag.domain.document import StoredDocument
from rtrag.entrypoints.http.texts import STORABLE, Metadata, Text

MAX_TITLE = 2_000
MAX_ID = 1_000


Title: TypeAlias = Annotated[str, Field(max_length=MAX_TITLE), STORABLE]


class DocumentIn(BaseModel):
    """A new document."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "session-limits",
                    "title": "Session limits",
                    "content": "Sessions are kept for 30 days.",
                    "metadata": {"team": "platform"},
                }
            ]
        },
    )

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID), STORABLE] | None = Field(
        None, description="The primary key as it is, not percent-encoded; made if left out."
    )
    title: Title = ""
    content: Text
    metadata: Metadata = Field(default_factory=dict)


class DocumentChange(BaseModel):
    """What to change of a document; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"content": "Sessions are kept for 60 days.", "version": 3}]},
    )

    title: Title | None = None
    content: Text | None = None
    metadata: Metadata | None = Field(None, description="Replaces all of the metadata.")
    version: int | None = Field(
        None, description="The version that was read: 409 if it is no longer the current one. Or send If-Match."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.title is None and self.content is None and self.metadata is None:
            raise ValueError("nothing to change: give title, content or metadata")
        return self


class DocumentOut(BaseModel):
    """A document as its row says."""

    id: str = Field(description="The primary key, percent-encoded: append it to /api/documents/ as it is.")
    key: str = Field(description="Table and primary key.")
    title: str
    content: str
    metadata: dict[str, Any]
    version: int | None = Field(description="Also the ETag; null where the table counts no versions.")
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def of(cls, document: StoredDocument) -> "DocumentOut":
        return cls(
            id=document.key.id,
            key=str(document.key),
            title=document.title,
            content=document.content,
            metadata=dict(document.metadata),
            version=document.version,
            created_at=document.created_at,
            updated_at=document.updated_at,
        )


class DocumentPage(BaseModel):
    """A page of documents in key order, and how many there are in all."""

    documents: list[DocumentOut]
    total: int
    limit: int
    offset: int


class WrittenOut(BaseModel):
    """A committed write."""

    id: str
    key: str
    document: DocumentOut | None = Field(description="The row after the write; null after a delete.")
    token: str = Field(description="Send it as min_position or X-Freshness-Token: the answer reflects this write.")

    @classmethod
    def of(cls, written: DocumentWritten) -> "WrittenOut":
        return cls(
            id=written.key.id,
            key=str(written.key),
            document=DocumentOut.of(written.document) if written.document else None,
            token=str(written.token),
        )


class VisibleOut(BaseModel):
    """A token that is satisfied."""

    token: str
    visible: bool

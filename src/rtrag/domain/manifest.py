"""Manifests and the other records of the index, and the operations that change it.

A chunk is visible only if its document's manifest lists it and that manifest stands above its table's floor.
Replacing a manifest is therefore the one atomic switch from a version of a document to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from rtrag.domain.chunk import ChunkingIdentity, ChunkKind, Vector
from rtrag.domain.document import DocumentKey, Format, Json
from rtrag.domain.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The one index record of a document: which chunks are its current ones, in order.

    ``metadata`` is the row's, ``headers`` what the content's front matter says; both together are what people see.
    With ``deleted`` it is a tombstone: it lists nothing and guards against late events.
    """

    key: DocumentKey
    position: Position
    chunk_ids: tuple[str, ...] = ()
    title: str = ""
    version: int | None = None
    commit_time: datetime | None = None
    content_hash: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)
    filterable: Mapping[str, Json] = field(default_factory=dict)
    format: Format = "text"
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPoint:
    """A chunk as it is stored. ``dense`` is None for chunks that are searched by words alone."""

    id: str
    key: DocumentKey
    text: str
    title: str
    heading_path: tuple[str, ...]
    kind: ChunkKind
    filterable: Mapping[str, Json]
    position: Position
    dense: Vector | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """What the index knows of a table.

    ``floor`` hides everything at or below it; ``swept`` is the floor below which nothing is left to clean up.
    ``copied_epoch`` is the last epoch whose copy is complete.
    """

    table: str
    floor: Position | None = None
    copied_epoch: int = 0
    swept: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """Where capture stands, stored in the index before each acknowledgement.

    A slot that is found ahead of ``durable_lsn`` has lost changes. ``current_at`` is when nothing newer than that was
    known to be committed, by the clock of who wrote it: processes that only read the index learn from it how current
    they are.
    """

    name: str
    system_identifier: str
    timeline: int
    slot: str
    epoch: int
    durable_lsn: int
    identity: ChunkingIdentity
    current_at: datetime | None = None

    @property
    def position(self) -> Position:
        """How far it is, in an order that holds over all epochs."""
        return Position(self.epoch, self.durable_lsn, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertChunks:
    """Write chunk points, each only where none stands or the one that stands has a smaller position."""

    points: tuple[ChunkPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchManifest:
    """Write a manifest if the one that stands is still the one that was read.

    ``replaces`` is the position of the manifest that was read, None where there was none.
    """

    manifest: Manifest
    replaces: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepChunks:
    """Delete these chunk points where their position is below ``below``."""

    ids: tuple[str, ...]
    below: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetTombstone:
    """Remove a tombstone if it is still at this position; only right once it lies below its table's floor."""

    key: DocumentKey
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class PutTableState:
    """Write what is known of a table. A floor never falls: the larger of the two stays."""

    state: TableState


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSourceState:
    """Write where capture stands, unless it is known to stand further: several workers tell it."""

    state: SourceState


Operation: TypeAlias = UpsertChunks | SwitchManifest | SweepChunks | ForgetTombstone | PutTableState | PutSourceState
IndexState: TypeAlias = Literal["fresh", "clean", "unclean"]

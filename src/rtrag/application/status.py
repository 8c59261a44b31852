"""What the pipeline is doing, for people and probes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["starting", "copying", "catching_up", "live", "stopping", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProgress:
    """How far the copy of a table is; ``rows`` is an estimate."""

    table: str
    copied: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStatus:
    """The state of the write path at one moment.

    Attributes:
        problems: why ``/ready`` is red, in words, each with what to do; empty when ready.
        warnings: what is wrong while questions are answered, in words.
        visible_lsn, durable_lsn, received_lsn: watermarks, as ``16/B374D848``.
        counts: ``documents``, ``tombstones``, ``chunks`` in the index.
        slot: retained bytes and the like, as the server tells; empty where there is no slot.
        totals: since start: ``events``, ``documents``, ``embedded_chunks``, ``embedded_characters``, ``retries``,
            ``dead_letters``, ``batches``, ``copied``.
    """

    phase: Phase
    ready: bool
    problems: tuple[str, ...]
    epoch: int
    visible_lsn: str
    durable_lsn: str
    received_lsn: str
    lag_ms: float
    counts: Mapping[str, int]
    copying: tuple[CopyProgress, ...]
    dead_letters: int
    slot: Mapping[str, int | str | None]
    totals: Mapping[str, int]
    model: str
    warnings: tuple[str, ...] = ()

"""A source by script: batches that a test hands over, confirmations that it can look at."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from rtrag.domain.change import ChangeBatch, ChangeEvent, Checkpoint, DocumentChange
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.errors import RtragError
from rtrag.domain.manifest import SourceState
from rtrag.ports.changes import BatchLimits, SourceOpening
from rtrag.testing.rows import ListRows


class ScriptedSource:
    """Port ChangeSource. ``commit`` and ``fail`` are what it delivers, ``confirmed`` and ``mark`` what it was told."""

    def __init__(self) -> None:
        self.confirmed: list[int] = []
        self.mark = 0
        self.lsn = 0
        self._marks = 0
        self._waiting: asyncio.Queue[ChangeBatch | RtragError] = asyncio.Queue()

    @property
    def acknowledged(self) -> int:
        """The highest confirmed LSN."""
        return max(self.confirmed, default=0)

    def commit(self, lsn: int, *events: ChangeEvent) -> None:
        """Deliver a transaction that ends at ``lsn``."""
        self.lsn = max(self.lsn, lsn)
        self._waiting.put_nowait(ChangeBatch(events=events, checkpoint=Checkpoint(lsn=lsn)))

    def part(self, *events: ChangeEvent) -> int:
        """Deliver part of a transaction that has not ended yet, or of a stream without an order; its mark."""
        self._marks += 1
        self._waiting.put_nowait(ChangeBatch(events=events, checkpoint=None, mark=self._marks))
        return self._marks

    def fail(self, error: RtragError) -> None:
        """Let the next pull raise this."""
        self._waiting.put_nowait(error)

    async def next_batch(self, limits: BatchLimits) -> ChangeBatch:  # noqa: ARG002 - a script has its own batches
        """The next thing in the script."""
        item = await self._waiting.get()
        if isinstance(item, RtragError):
            raise item
        return item

    async def confirm(self, lsn: int, mark: int) -> None:
        """Remember the confirmation."""
        self.confirmed.append(lsn)
        self.mark = max(self.mark, mark)

    async def barrier(self) -> int:
        """Deliver an empty transaction."""
        self.commit(self.lsn + 1)
        return self.lsn


class ScriptedSnapshot:
    """Port SnapshotReader over given pages."""

    def __init__(self, pages: Mapping[str, Sequence[Sequence[DocumentChange]]]) -> None:
        self._pages = pages

    async def pages(self, table: str, size: int) -> AsyncIterator[Sequence[DocumentChange]]:  # noqa: ARG002 - given
        """The pages given for the table."""
        for page in self._pages.get(table, ()):
            yield page

    async def estimate(self, table: str) -> int:
        """The exact number."""
        return sum(len(page) for page in self._pages.get(table, ()))


class ScriptedCapture:
    """Port Capture over a scripted source; with a snapshot, or where the stream ``copies``, it opens a new epoch."""

    def __init__(
        self,
        source: ScriptedSource,
        *,
        epoch: int = 1,
        snapshot: ScriptedSnapshot | None = None,
        copies: bool = False,
    ) -> None:
        state = SourceState(
            name="postgres",
            system_identifier="1",
            timeline=1,
            slot="rtrag",
            epoch=epoch,
            durable_lsn=source.lsn,
            identity=ChunkingIdentity(chunker_version="1", model_id="hash/1", dimensions=32),
        )
        copy = copies or snapshot is not None
        self.opening = SourceOpening(state=state, copy=copy, reason="first use" if copy else None)
        self.source = source
        self.snapshot = snapshot
        self.rows = self.rows_apart = ListRows()
        self.broken_tables: Mapping[str, str] = {}
        self.trouble: str | None = None

    async def slot_health(self) -> Mapping[str, int | str | None]:
        """Nothing to tell."""
        return {}

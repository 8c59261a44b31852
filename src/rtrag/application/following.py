"""Following an index that other processes write: how far it is, what it hides, and whether it can be asked.

A process that only answers questions has no stream of its own. The state of the source, which the writers record
before each acknowledgement, tells it everything.
"""

import asyncio
import time
from typing import Final

from rtrag.application.freshness import Freshness
from rtrag.application.problems import Problems
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.errors import ConfigurationError, TransientError
from rtrag.domain.manifest import SourceState, TableState
from rtrag.domain.position import Position
from rtrag.ports.index import Index

POLL_SECONDS: Final = 0.2
SILENT_SECONDS: Final = 30.0
_STALE: Final = "no update service tells how far the index is"


class Follower:
    """Looks at the records of an index again and again. ``problems`` are what keeps questions from being answered.

    ``warning`` is what is wrong while they are: it says that what was true a while ago may be so no more.
    """

    def __init__(
        self,
        *,
        index: Index,
        freshness: Freshness,
        problems: Problems,
        source_name: str,
        tables: tuple[str, ...],
        identity: ChunkingIdentity,
    ) -> None:
        self._index = index
        self._freshness = freshness
        self._problems = problems
        self._source_name = source_name
        self._tables = tables
        self._identity = identity
        self._told: SourceState | None = None
        self._told_at = time.monotonic()
        self._hidden: tuple[tuple[str, Position], ...] = ()
        self.warning: str | None = None

    @property
    def hidden_below(self) -> tuple[tuple[str, Position], ...]:
        """As ``CleanUp.hidden_below``: floors of tables that nobody has swept yet."""
        return self._hidden

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Look once; an index that is away is a problem and no error."""
        try:
            state = await self._index.source(self._source_name)
            known = (await self._index.records((), self._tables)).tables
        except (TransientError, ConfigurationError) as error:
            self._problems.set("index", f"The index is away: {error}")
            return
        self._problems.clear("index")
        self._hidden = tuple(
            (table.table, table.floor)
            for table in known.values()
            if table.floor is not None and table.floor.lsn > 0 and table.swept != table.floor
        )
        if state is None:
            self._problems.set("phase", "Nothing is indexed yet: no update service has begun.")
            return
        if state.identity != self._identity:
            self._problems.set(
                "phase",
                f"The index is made with {_words(state.identity)}; this service has {_words(self._identity)}. "
                "Give both services the same settings.",
            )
            return
        self._take(state, [table for table in self._tables if _is_late(known[table], state.epoch)])

    def _take(self, state: SourceState, late: list[str]) -> None:
        freshness, now = self._freshness, time.monotonic()
        if state != self._told:
            self._told, self._told_at = state, now
        silent = now - self._told_at
        self.warning = f"Since {silent:.0f} s {_STALE}; look at its /ready." if silent > SILENT_SECONDS else None
        if late:
            freshness.begin(epoch=state.epoch, lsn=state.durable_lsn, copying=True, stale_reason="tables are copied")
            self._problems.set(
                "phase",
                f"Not all rows of {', '.join(late)} are indexed yet; answers are incomplete until that is done.",
            )
            return
        freshness.follow(epoch=state.epoch, lsn=state.durable_lsn, current_at=state.current_at)
        freshness.copied()
        freshness.stale_reason = _STALE if self.warning else None
        self._problems.clear("phase")


def _words(identity: ChunkingIdentity) -> str:
    return f"model {identity.model_id!r}, chunking {identity.chunker_version}"


def _is_late(table: TableState, epoch: int) -> bool:
    return table.copied_epoch != epoch

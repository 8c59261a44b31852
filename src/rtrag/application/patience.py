"""Applying changes until they pass, and isolating the documents that cannot (G9)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from rtrag.application.indexer import Indexer, IndexOutcome
from rtrag.application.retry import RetryPolicy, retrying
from rtrag.domain.change import DocumentChange
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import EmbeddingUnavailableError, TerminalError, TransientError
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter

Apply: TypeAlias = Callable[[Sequence[DocumentChange]], Awaitable[IndexOutcome]]
OnFailure: TypeAlias = Callable[[TransientError], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """How a lane applies changes once, and who hears of failures."""

    apply: Apply
    on_failure: OnFailure


class Patience:
    """Waits for dependencies for as long as it takes; a document that alone keeps failing becomes a dead letter.

    ``isolate_after`` is the number of failed attempts after which a batch is tried document by document.
    """

    def __init__(self, indexer: Indexer, *, isolate_after: int, retry: RetryPolicy) -> None:
        self._indexer = indexer
        self._isolate_after = isolate_after
        self._retry = retry

    async def apply(self, changes: Sequence[DocumentChange], apply: Apply, on_failure: OnFailure) -> IndexOutcome:
        """What became of the changes. ``apply`` is called with all or some of them until each is visible or a letter.

        Raises ConfigurationError, which no waiting mends.
        """
        attempt = _Attempt(apply=apply, on_failure=on_failure)
        try:
            return await self._bounded(changes, attempt)
        except (TransientError, TerminalError):
            return await retrying(lambda: self._isolated(changes, attempt), self._retry, on_failure)

    async def _bounded(self, changes: Sequence[DocumentChange], attempt: _Attempt) -> IndexOutcome:
        bounded = replace(self._retry, attempts=self._isolate_after)
        return await retrying(lambda: attempt.apply(changes), bounded, attempt.on_failure)

    async def _isolated(self, changes: Sequence[DocumentChange], attempt: _Attempt) -> IndexOutcome:
        """One document after the other: those whose embedding keeps failing become dead letters.

        As long as a probe fails too, the embedder is down: EmbeddingUnavailableError is raised to wait for it.
        """
        visible: dict[DocumentKey, Position] = {}
        failed: list[DeadLetter] = []
        stuck: list[list[DocumentChange]] = []
        for own in by_document(changes):
            try:
                outcome = await attempt.apply(own)
            except EmbeddingUnavailableError:
                stuck.append(own)
            except TerminalError as error:
                failed.append(await self._indexer.give_up(own[-1], str(error), attempts=1))
            else:
                visible |= outcome.visible
                failed += outcome.failed
        for own in stuck:
            await self._indexer.probe()
            try:
                outcome = await self._bounded(own, attempt)
            except EmbeddingUnavailableError as error:
                await self._indexer.probe()
                failed.append(await self._indexer.give_up(own[-1], str(error), attempts=self._isolate_after))
            else:
                visible |= outcome.visible
                failed += outcome.failed
        return IndexOutcome(visible=visible, failed=tuple(failed))


def by_whom(error: TransientError) -> str:
    """Which dependency holds up the work, to be put behind these words; empty where the error does not tell."""
    return " by the embedder" if isinstance(error, EmbeddingUnavailableError) else ""


def by_document(changes: Sequence[DocumentChange]) -> Sequence[list[DocumentChange]]:
    """The changes of each document, in order."""
    apart: dict[DocumentKey, list[DocumentChange]] = {}
    for change in changes:
        apart.setdefault(change.key, []).append(change)
    return list(apart.values())

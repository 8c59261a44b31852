"""A process that only answers questions follows what others have indexed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from application_bench import TABLE, key
from rtrag.application.following import Follower
from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.problems import Problems
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.errors import FreshnessTimeoutError, ServiceUnavailableError
from rtrag.domain.freshness import FreshnessToken
from rtrag.domain.manifest import Manifest, PutSourceState, PutTableState, SourceState, SwitchManifest, TableState
from rtrag.domain.position import Position
from rtrag.testing.dead_letters import ListDeadLetters
from rtrag.testing.index import InMemoryIndex

IDENTITY = ChunkingIdentity(chunker_version="1", model_id="words", dimensions=4)
STATE = SourceState(
    name="postgres", system_identifier="1", timeline=1, slot="s", epoch=2, durable_lsn=50, identity=IDENTITY
)
COPIED = TableState(table=TABLE, floor=Position.floor_of(2), copied_epoch=2)


class Away(InMemoryIndex):
    """An index that can go away."""

    away = False

    async def source(self, name: str) -> SourceState | None:
        if self.away:
            raise ServiceUnavailableError("no route to it")
        return await super().source(name)


@dataclass
class Reading:
    """A follower over an index that a test writes."""

    index: Away = field(default_factory=Away)
    freshness: Freshness = field(default_factory=Freshness)
    problems: Problems = field(default_factory=Problems)
    barrier: Callable[[], Awaitable[int]] | None = None

    def __post_init__(self) -> None:
        self.follower = Follower(
            index=self.index,
            freshness=self.freshness,
            problems=self.problems,
            source_name="postgres",
            tables=(TABLE,),
            identity=IDENTITY,
        )
        self.gate = FreshnessGate(freshness=self.freshness, index=self.index, letters=ListDeadLetters())

    async def told(self, state: SourceState, table: TableState = COPIED) -> None:
        await self.index.write([PutSourceState(state=state), PutTableState(state=table)])
        await self.follower.look()


async def test_an_index_that_nobody_has_begun_is_a_problem_and_claims_nothing() -> None:
    reading = Reading()
    await reading.follower.look()
    assert "Nothing is indexed yet" in reading.problems.all()[0]
    assert reading.freshness.as_of().lsn == 0


async def test_answers_are_as_of_what_the_writers_have_told() -> None:
    reading = Reading()
    await reading.told(replace(STATE, current_at=datetime.now(UTC) - timedelta(seconds=3)))
    as_of = reading.freshness.as_of()
    assert (as_of.epoch, as_of.lsn, as_of.stale_reason) == (2, 50, None)
    assert 3000 <= as_of.lag_ms < 60_000
    assert reading.problems.all() == ()


async def test_until_all_rows_of_an_epoch_have_come_nothing_is_claimed() -> None:
    reading = Reading()
    await reading.told(STATE, TableState(table=TABLE, copied_epoch=1))
    assert reading.freshness.as_of().lsn == 0
    assert reading.freshness.as_of().stale_reason
    assert TABLE in reading.problems.all()[0]
    await reading.told(replace(STATE, durable_lsn=60))
    assert reading.freshness.as_of().lsn == 60
    assert reading.problems.all() == ()


async def test_an_index_that_goes_away_and_comes_back_is_a_problem_meanwhile() -> None:
    reading = Reading()
    await reading.told(STATE)
    reading.index.away = True
    await reading.follower.look()
    assert reading.problems.all() == ("The index is away: no route to it",)
    reading.index.away = False
    await reading.follower.look()
    assert reading.problems.all() == ()


async def test_another_model_than_the_writers_is_named() -> None:
    reading = Reading()
    await reading.told(replace(STATE, identity=replace(IDENTITY, model_id="other")))
    (problem,) = reading.problems.all()
    assert "'other'" in problem
    assert "'words'" in problem


async def test_writers_that_say_nothing_for_long_make_answers_stale_and_no_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = Reading()
    await reading.told(STATE)
    assert reading.follower.warning is None
    monkeypatch.setattr("rtrag.application.following.SILENT_SECONDS", -1.0)
    await reading.follower.look()
    assert reading.follower.warning is not None
    assert reading.freshness.as_of().stale_reason
    assert reading.problems.all() == ()
    monkeypatch.undo()
    await reading.told(replace(STATE, durable_lsn=51))
    assert reading.freshness.as_of().stale_reason is None


async def test_a_table_that_was_truncated_is_filtered_by_its_floor_until_it_is_swept() -> None:
    reading = Reading()
    floor = Position(2, 40, 0)
    await reading.told(STATE, replace(COPIED, floor=floor))
    assert reading.follower.hidden_below == ((TABLE, floor),)
    await reading.told(STATE, replace(COPIED, floor=floor, swept=floor))
    assert not reading.follower.hidden_below


async def test_the_token_of_a_document_is_waited_for_without_any_stream() -> None:
    reading = Reading()
    await reading.told(STATE)
    token = FreshnessToken(lsn=50, key=key("a"))
    with pytest.raises(FreshnessTimeoutError):
        await reading.gate.wait(token, 0.05)
    await reading.index.write(
        [SwitchManifest(manifest=Manifest(key=key("a"), position=Position(2, 51, 0)), replaces=None)]
    )
    await reading.gate.wait(token, 5)


class At:
    """Barriers at a given position."""

    def __init__(self, lsn: int) -> None:
        self.lsn = lsn

    async def barrier(self) -> int:
        return self.lsn


async def test_a_change_that_leaves_no_document_is_waited_for_by_the_watermark() -> None:
    reading = Reading()
    await reading.told(STATE)
    reading.gate.connect(At(55))
    token = FreshnessToken(lsn=50, key=key("filtered"))
    with pytest.raises(FreshnessTimeoutError):
        await reading.gate.wait(token, 0.05)
    await reading.told(replace(STATE, durable_lsn=56))
    await reading.gate.wait(token, 5)


async def test_a_bare_position_is_waited_for_by_what_the_writers_tell() -> None:
    reading = Reading()
    await reading.told(STATE)
    await reading.gate.wait(FreshnessToken(lsn=50), 5)
    with pytest.raises(FreshnessTimeoutError):
        await reading.gate.wait(FreshnessToken(lsn=51), 0.05)

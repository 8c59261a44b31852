"""Goals are set only behind what the slot confirms, and barriers wait for nothing else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from rtrag.adapters.kafka.progress import Goal, Partition
from rtrag.adapters.kafka.watermark import Server, Watermark
from rtrag.domain.errors import ConfigurationError, RtragError, ServiceUnavailableError, SourceInterruptedError

A: Partition = ("documents", 0)
B: Partition = ("documents", 1)


@dataclass(frozen=True)
class Settled:
    lsn: int
    reached: int


@dataclass
class World:
    """A server whose log grows by each question, and topics."""

    now: int = 100
    confirmed: int | None = 0
    ends: dict[Partition, tuple[int, int]] = field(default_factory=lambda: {A: (0, 3), B: (2, 2)})
    goals: list[Goal] = field(default_factory=list)
    failing: bool = False
    interruptions: list[RtragError] = field(default_factory=list)
    failure: RtragError = field(default_factory=lambda: ServiceUnavailableError("the database is away"))

    async def point(self) -> Settled:
        if self.failing:
            raise self.failure
        self.now += 10
        return Settled(lsn=self.now, reached=self.now + 5)

    async def confirmed_lsn(self) -> int | None:
        return self.confirmed

    async def ends_now(self) -> Mapping[Partition, tuple[int, int]]:
        return self.ends

    @asynccontextmanager
    async def watermark(self) -> AsyncIterator[Watermark]:
        server = Server(point=self.point, confirmed=self.confirmed_lsn)
        watermark = Watermark(server, self.ends_now, self.goals.append, self.interruptions.append)
        running = asyncio.create_task(watermark.run())
        try:
            async with asyncio.timeout(10):
                yield watermark
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def test_a_goal_is_set_only_once_the_slot_is_confirmed_past_the_settled_point() -> None:
    world = World()
    async with world.watermark() as watermark:
        barrier = asyncio.create_task(watermark.barrier())
        lsn = await barrier
        assert world.goals == [], "Kafka may lack what was written before"
        world.ends = {A: (0, 9)}
        world.confirmed = lsn + 5
        while not world.goals:
            await asyncio.sleep(0.001)
        assert world.goals[0].lsn == lsn
        assert world.goals[0].ends == {A: 9}, "the ends are those after the confirmation"


async def test_an_empty_partition_is_waited_for_by_nobody() -> None:
    world = World(confirmed=10_000)
    async with world.watermark() as watermark:
        await watermark.barrier()
        while not world.goals:
            await asyncio.sleep(0.001)
        assert world.goals[0].ends == {A: 3}


async def test_a_barrier_is_told_when_the_database_is_away_and_later_ones_pass() -> None:
    world = World(confirmed=10_000, failing=True)
    async with world.watermark() as watermark:
        with pytest.raises(ServiceUnavailableError, match="away"):
            await watermark.barrier()
        world.failing = False
        assert await watermark.barrier() > 100


async def test_without_a_slot_there_is_no_barrier_and_no_goal() -> None:
    world = World(confirmed=None)
    async with world.watermark() as watermark:
        with pytest.raises(ServiceUnavailableError, match="slot does not exist"):
            await watermark.barrier()
        assert world.goals == []


async def test_a_slot_that_is_made_anew_confirms_nothing_of_before() -> None:
    """PostgreSQL begins a slot confirmed up to where its log is, though nothing of that is in Kafka."""
    world = World(confirmed=1)
    async with world.watermark() as watermark:
        before = await watermark.barrier()
        world.confirmed = None
        while watermark.trouble is None:
            await asyncio.sleep(0.001)
        world.confirmed = before + 1_000
        after = await watermark.barrier()
        world.confirmed = after + 1_000
        while not world.goals:
            await asyncio.sleep(0.001)
        assert world.goals[0].lsn > before


async def test_another_history_of_the_database_ends_the_stream() -> None:
    world = World(confirmed=10_000, failing=True, failure=SourceInterruptedError("timeline 2, before 1"))
    async with world.watermark():
        while not world.interruptions:
            await asyncio.sleep(0.001)
    assert world.interruptions[0] is world.failure
    assert world.goals == []


async def test_a_database_that_refuses_the_login_for_a_while_ends_nothing() -> None:
    world = World(confirmed=10_000, failing=True)
    world.failure = ConfigurationError("password authentication failed", fix="correct it")
    async with world.watermark() as watermark:
        while watermark.trouble is None:
            await asyncio.sleep(0.001)
        world.failing = False
        while not world.goals:
            await asyncio.sleep(0.001)
        assert watermark.trouble is None


async def test_one_goal_covers_all_points_that_are_confirmed_together() -> None:
    world = World()
    async with world.watermark() as watermark:
        points = [await watermark.barrier() for _ in range(5)]
        world.confirmed = 10_000
        while not world.goals:
            await asyncio.sleep(0.001)
        assert world.goals[0].lsn == points[-1]

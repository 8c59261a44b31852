"""A process that only answers questions begins without its dead letters."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from application_bench import key
from contract.dead_letters_contract import letter
from rtrag.application.letters_in_time import LettersInTime
from rtrag.domain.errors import ServiceUnavailableError
from rtrag.testing.dead_letters import ListDeadLetters


class Keeper:
    """Letters that can be opened after so many failures."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.letters = ListDeadLetters()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ListDeadLetters]:
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailableError("Kafka is away")
        yield self.letters


@asynccontextmanager
async def running(keeper: Keeper) -> AsyncIterator[LettersInTime]:
    letters = LettersInTime(keeper.open)
    task = asyncio.create_task(letters.run())
    try:
        yield letters
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.001)


async def test_until_they_can_be_opened_none_are_known_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtrag.application.letters_in_time.FIRST_SECONDS", 0.05)
    keeper = Keeper(failures=2)
    await keeper.letters.put(letter(key("a")))
    async with running(keeper) as letters:
        await until(lambda: "Kafka is away" in (letters.trouble or ""))
        assert await letters.count() == 0
        with pytest.raises(ServiceUnavailableError, match="Kafka is away"):
            await letters.open_keys([key("a")])
        with pytest.raises(ServiceUnavailableError, match="Kafka is away"):
            await letters.put(letter(key("b")))
        await until(lambda: letters.trouble is None)
        assert await letters.open_keys([key("a")]) == {key("a")}
        assert await letters.count() == 1


async def test_once_they_are_open_all_calls_go_through() -> None:
    async with running(Keeper(failures=0)) as letters:
        await until(lambda: letters.trouble is None)
        await letters.put(letter(key("a")))
        assert await letters.get(key("a")) == letter(key("a"))
        assert list(await letters.list()) == [letter(key("a"))]
        assert await letters.close(key("a"))
        assert await letters.count() == 0

"""The contract of dead letters, and what only a file can do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.dead_letters_contract import KEYS, DeadLettersContract, letter
from rtrag.adapters.sqlite_dead_letters import SqliteDeadLetters, open_sqlite_dead_letters
from rtrag.domain.errors import ConfigurationError, TransientError
from rtrag.testing.dead_letters import ListDeadLetters


class TestListDeadLetters(DeadLettersContract):
    @pytest.fixture
    def letters(self) -> ListDeadLetters:
        return ListDeadLetters()


class TestSqliteDeadLetters(DeadLettersContract):
    @pytest.fixture
    async def letters(self, tmp_path: Path) -> AsyncIterator[SqliteDeadLetters]:
        async with open_sqlite_dead_letters(tmp_path / "data" / "dead_letters.sqlite") as letters:
            yield letters


async def test_letters_survive_closing_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.sqlite"
    async with open_sqlite_dead_letters(path) as letters:
        await letters.put(letter(KEYS[0]))
    async with open_sqlite_dead_letters(path) as letters:
        assert list(await letters.list()) == [letter(KEYS[0])]


async def test_many_letters_can_be_put_at_once(tmp_path: Path) -> None:
    async with open_sqlite_dead_letters(tmp_path / "dead_letters.sqlite") as letters:
        await asyncio.gather(*(letters.put(letter(key, lsn=lsn)) for key in KEYS for lsn in range(5)))
        assert await letters.count() == len(KEYS)
        assert {kept.attempts for kept in await letters.list()} == {10}


async def test_a_full_disk_is_transient_and_the_letter_can_be_put_later(tmp_path: Path) -> None:
    async with open_sqlite_dead_letters(tmp_path / "dead_letters.sqlite") as letters:
        letters._writer.execute("PRAGMA max_page_count = 3")
        with pytest.raises(TransientError, match="full"):
            await letters.put(letter(KEYS[0], cause="x" * 100_000))
        assert await letters.count() == 0
        letters._writer.execute("PRAGMA max_page_count = 100000")
        await letters.put(letter(KEYS[0], cause="x" * 100_000))
        assert await letters.count() == 1


async def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dead_letters.sqlite"
    path.write_bytes(b"not a database, but long enough to be read as the head of one" * 20)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        async with open_sqlite_dead_letters(path):
            pass

"""What every keeper of dead letters must do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rtrag.domain.document import DocumentKey
from rtrag.domain.position import Position
from rtrag.ports.dead_letters import DeadLetter, DeadLetters

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def letter(key: DocumentKey, lsn: int = 1, cause: str = "too large") -> DeadLetter:
    return DeadLetter(
        key=key,
        position=Position(1, lsn, 0),
        cause=cause,
        attempts=2,
        payload={"title": "Prices", "tags": ["a", None], "lone": "\ud800"},
        first_failed=NOON,
        last_failed=NOON + timedelta(seconds=lsn),
    )


KEYS = tuple(
    DocumentKey(table, values)
    for table, values in (
        ("public.a", ("10",)),
        ("public.a", ("10", "1")),
        ("public.a", ("9",)),
        ("public.a", ("a b/c%",)),
        ("public.a", ("é",)),
        ("public.b", ("",)),
    )
)


class DeadLettersContract:
    """Subclasses give a fixture ``letters`` with an empty keeper."""

    async def test_a_letter_comes_back_as_it_was_put(self, letters: DeadLetters) -> None:
        await letters.put(letter(KEYS[0]))
        assert list(await letters.list()) == [letter(KEYS[0])]

    async def test_the_open_letter_of_a_document_can_be_asked_for(self, letters: DeadLetters) -> None:
        assert await letters.get(KEYS[0]) is None
        await letters.put(letter(KEYS[0]))
        assert await letters.get(KEYS[0]) == letter(KEYS[0])

    async def test_a_letter_is_closed_by_what_has_passed_its_position_alone(self, letters: DeadLetters) -> None:
        await letters.put(letter(KEYS[0], lsn=5))
        assert not await letters.close(KEYS[0], at_or_below=Position(1, 4, 9))
        assert await letters.close(KEYS[0], at_or_below=Position(1, 5, 0))
        await letters.put(letter(KEYS[0], lsn=5))
        assert await letters.close(KEYS[0], at_or_below=Position(2, 0, 0))

    async def test_a_letter_of_an_epoch_that_is_gone_is_closed(self, letters: DeadLetters) -> None:
        await letters.put(replace(letter(KEYS[0]), position=Position(7, 5, 0)))
        assert await letters.close(KEYS[0], at_or_below=Position(1, 4, 0))

    async def test_a_letter_of_an_epoch_that_is_gone_takes_none_of_this_epoch_with_it(
        self, letters: DeadLetters
    ) -> None:
        await letters.put(replace(letter(KEYS[0]), position=Position(7, 5, 0)))
        await letters.put(letter(KEYS[0], lsn=9))
        await letters.close(KEYS[0], at_or_below=Position(1, 4, 0))
        assert await letters.open_keys(KEYS) == {KEYS[0]}
        assert await letters.close(KEYS[0], at_or_below=Position(1, 9, 0))
        assert await letters.count() == 0

    async def test_a_document_has_one_letter_whose_attempts_add_up(self, letters: DeadLetters) -> None:
        await letters.put(letter(KEYS[0], lsn=1))
        await letters.put(replace(letter(KEYS[0], lsn=5, cause="bad text"), first_failed=NOON + timedelta(hours=1)))
        expected = replace(letter(KEYS[0], lsn=5, cause="bad text"), attempts=4, first_failed=NOON)
        assert list(await letters.list()) == [expected]
        assert await letters.count() == 1

    async def test_a_repeated_older_change_does_not_replace_a_newer_one(self, letters: DeadLetters) -> None:
        await letters.put(letter(KEYS[0], lsn=5, cause="newer"))
        await letters.put(letter(KEYS[0], lsn=1, cause="older"))
        (kept,) = await letters.list()
        assert (kept.cause, kept.position, kept.attempts) == ("newer", Position(1, 5, 0), 4)

    async def test_open_keys_are_those_with_a_letter(self, letters: DeadLetters) -> None:
        await letters.put(letter(KEYS[1]))
        await letters.put(letter(KEYS[3]))
        many = [DocumentKey("public.a", (f"other-{number}",)) for number in range(1200)]
        assert await letters.open_keys([*many, *KEYS]) == {KEYS[1], KEYS[3]}
        assert await letters.open_keys([]) == frozenset()

    async def test_letters_are_listed_in_key_order_page_by_page(self, letters: DeadLetters) -> None:
        for key in reversed(KEYS):
            await letters.put(letter(key))
        first = await letters.list(limit=4)
        rest = await letters.list(limit=4, after=first[-1].key)
        assert [item.key for item in (*first, *rest)] == sorted(KEYS)

    async def test_closing_removes_the_letter_and_says_whether_there_was_one(self, letters: DeadLetters) -> None:
        await letters.put(letter(KEYS[0]))
        assert await letters.close(KEYS[0])
        assert not await letters.close(KEYS[0])
        assert await letters.count() == 0

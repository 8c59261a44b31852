"""Values as text become JSON by their type; what cannot be represented is an error of that value alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.adapters.postgres.catalog import TypeRow, converters_of
from rtrag.adapters.postgres.types import BUILT_IN, array_of, document, numeric, text, timestamp
from rtrag.domain.document import Json

elements = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8))


def array_literal(items: list[str | None]) -> str:
    quoted = ["NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items]
    return "{" + ",".join(quoted) + "}"


@given(st.lists(elements, max_size=6))
def test_an_array_of_any_texts_comes_back_as_the_list(items: list[str | None]) -> None:
    assert array_of(text)(array_literal(items)) == items


@given(st.text(alphabet='{}",\\ aN', max_size=12))
def test_a_broken_array_is_a_value_error_and_never_a_crash(literal: str) -> None:
    try:
        result = array_of(text)(literal)
    except ValueError:
        return
    assert isinstance(result, list)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_numeric_is_exact_as_number_or_as_text(value: object) -> None:
    from decimal import Decimal  # noqa: PLC0415  used here alone

    shown = format(value, "f")
    result = numeric(shown)
    if isinstance(result, str):
        assert result == shown
    else:
        assert isinstance(result, int | float)
        assert Decimal(repr(result)) == Decimal(shown)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", "9223372036854775808"),
        ("1.5", 1.5),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
    ],
)
def test_numerics(value: str, expected: Json) -> None:
    assert numeric(value) == expected
    assert type(numeric(value)) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-02-29 12:00:00", "2024-02-29T12:00:00"),
        ("2024-02-29 12:00:00.5+00", "2024-02-29T12:00:00.5+00:00"),
        ("2024-02-29 12:00:00-03:30", "2024-02-29T12:00:00-03:30"),
        ("infinity", "infinity"),
        ("0044-03-15 00:00:00 BC", "0044-03-15 00:00:00 BC"),
    ],
)
def test_timestamps(value: str, expected: str) -> None:
    assert timestamp(value) == expected


def test_json_keeps_what_it_can_and_says_what_it_cannot() -> None:
    assert document('{"n": 12345678901234567890123, "m": 9007199254740993, "e": 1e400, "p": "\\ud83d\\ude00"}') == {
        "n": 1.2345678901234568e22,
        "m": 9007199254740993,
        "e": "1e400",
        "p": "😀",
    }
    with pytest.raises(ValueError, match="surrogate"):
        document('"\\ud800"')
    with pytest.raises(ValueError, match="nested too deeply"):
        document("[" * 100_000 + "]" * 100_000)
    with pytest.raises(json.JSONDecodeError):
        document("{")


def test_domains_arrays_and_enums_of_the_user_convert_by_what_they_are_made_of() -> None:
    rows = [
        TypeRow(oid=90_001, kind="d", base=23, element=0, category="N", delimiter=None),
        TypeRow(oid=90_002, kind="b", base=0, element=90_001, category="A", delimiter=","),
        TypeRow(oid=90_003, kind="e", base=0, element=0, category="E", delimiter=None),
        TypeRow(oid=1020, kind="b", base=0, element=603, category="A", delimiter=";"),
        TypeRow(oid=603, kind="b", base=0, element=600, category="G", delimiter=","),
    ]
    found = converters_of(rows)
    assert found[90_001]("7") == 7
    assert found[90_002]("{7,NULL}") == [7, None]
    assert found[90_003]("happy") == "happy"
    assert found[1020]("{(1,1),(0,0);(2,2),(1,1)}") == ["(1,1),(0,0)", "(2,2),(1,1)"]
    assert BUILT_IN[16]("f") is False

"""Properties files with some values replaced."""

import string

from hypothesis import given
from hypothesis import strategies as st

from rtrag.entrypoints.stack.properties import overlay, read_properties

names = st.text(string.ascii_lowercase + ".", min_size=1, max_size=8)
values = st.text(string.ascii_letters + string.digits + ":/,=-_", max_size=12)
tables = st.dictionaries(names, values, max_size=6)


@given(base=tables, replaced=tables)
def test_replaced_values_hold_and_all_others_stay(base: dict[str, str], replaced: dict[str, str]) -> None:
    text = "# what it is for\n\n" + "".join(f"{name}={value}\n" for name, value in base.items())
    assert read_properties(overlay(text, replaced)) == {**base, **replaced}


@given(base=tables, replaced=tables)
def test_a_name_never_stands_twice(base: dict[str, str], replaced: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in base.items())
    lines = overlay(text, replaced).splitlines()
    assert len(lines) == len(base.keys() | replaced.keys())


def test_comments_and_order_stay() -> None:
    text = "# first\na=1\n! b=2\n\nc = 3\n"
    assert overlay(text, {"c": 4, "b": 5}) == "# first\na=1\n! b=2\n\nc=4\nb=5\n"


def test_a_backslash_is_written_so_that_java_reads_one() -> None:
    assert overlay("", {"log.dirs": "C:\\kafka"}) == "log.dirs=C:\\\\kafka\n"

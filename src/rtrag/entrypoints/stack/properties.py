"""Java properties files: the files of compose with some values replaced."""

from collections.abc import Mapping


def overlay(text: str, values: Mapping[str, str | int]) -> str:
    """The properties in ``text`` with ``values`` instead of theirs; comments, order and other lines stay.

    Names that the text does not have are added at the end. Continuation lines are not supported.
    """
    left = {name: str(value) for name, value in values.items()}
    lines = []
    for line in text.splitlines():
        name = name_of(line)
        lines.append(line if name is None or name not in values else f"{name}={escaped(str(values[name]))}")
        left.pop(name or "", None)
    lines += [f"{name}={escaped(value)}" for name, value in left.items()]
    return "".join(f"{line}\n" for line in lines)


def read_properties(text: str) -> dict[str, str]:
    """Names and values, as written."""
    found = {}
    for line in text.splitlines():
        name = name_of(line)
        if name is not None:
            found[name] = line.partition("=")[2].strip()
    return found


def name_of(line: str) -> str | None:
    """The name that a line sets, None for a comment or an empty line."""
    name, sign, _ = line.partition("=")
    return name.strip() if sign and not line.lstrip().startswith(("#", "!")) else None


def escaped(value: str) -> str:
    """A backslash starts an escape in these files."""
    return value.replace("\\", "\\\\")

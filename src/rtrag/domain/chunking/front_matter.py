"""Front matter: a YAML block at the start of Markdown, header fields at the start of reStructuredText.

Only a small strict part of YAML is understood: ``key: value`` scalars, lists of scalars in either notation, and
indented text. Everything else is kept as the text that stands there; nothing here raises.
"""

import re
from collections.abc import Sequence

from rtrag.domain.chunking.blocks import skip_blank
from rtrag.domain.document import Format, Json

_FENCE = re.compile(r"---[ \t]*+\r?\n?$")
_CLOSING = re.compile(r"(?:---|\.\.\.)[ \t]*+\r?\n?$")
_YAML_KEY = re.compile(r"([A-Za-z_][\w.\-]*+):(?:[ \t]++(.*)|\s*+$)", re.DOTALL)
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9\-]*+):(?:[ \t]++(.*)|\s*+$)", re.DOTALL)
_DOCINFO = re.compile(r":([A-Za-z][A-Za-z0-9 \-]*+):(?:[ \t]++(.*)|\s*+$)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})$", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,17}\.\d{1,17}$", re.ASCII)
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None, "~": None}
_MIN_FIELDS = 2
_STARTS: dict[Format, re.Pattern[str]] = {  # without which there is none: most contents are not cut into lines for it
    "markdown": re.compile("\ufeff?---"),
    "rst": re.compile(r":?[A-Za-z][A-Za-z0-9 \-]*+:"),
}


def front_matter_end(content: str, format: Format) -> int:  # noqa: A002 - the word of the domain
    """How many characters at the start are front matter, with the blank lines behind it; 0 if there is none."""
    start = _STARTS.get(format)
    if start is None or not start.match(content):
        return 0
    lines = content.splitlines(keepends=True)
    end = _yaml_end(lines) if format == "markdown" else _fields_end(lines)
    return sum(map(len, lines[: skip_blank(lines, end)])) if end else 0


def header_fields(content: str, format: Format) -> dict[str, Json]:  # noqa: A002 - the word of the domain
    """The fields of the front matter; empty if there is none. A field given twice has its last value."""
    end = front_matter_end(content, format)
    if not end:
        return {}
    lines = content[:end].splitlines()
    if format == "markdown":
        inner = lines[1 : _yaml_end(lines) - 1]
        return {key: _yaml_value(first, rest) for key, first, rest in _grouped(inner, _YAML_KEY)}
    pattern = _DOCINFO if lines[0].startswith(":") else _FIELD
    return {key: " ".join((first, *rest)).strip() for key, first, rest in _grouped(lines, pattern)}


def _yaml_end(lines: Sequence[str]) -> int:
    """The number of lines of a YAML block, 0 if the text does not begin with one.

    Two thematic breaks are not front matter: the first line that says something has to be a field.
    """
    if not lines or not _FENCE.match(lines[0].removeprefix("\ufeff")):
        return 0
    has_field = False
    for index in range(1, len(lines)):
        line = lines[index]
        if _CLOSING.match(line):
            return index + 1 if has_field else 0
        if not has_field and line.strip() and not line.startswith("#"):
            if not _YAML_KEY.match(line):
                return 0
            has_field = True
    return 0


def _fields_end(lines: Sequence[str]) -> int:
    """The number of lines of header fields, which end at the first blank line; 0 if there are none."""
    end = fields = 0
    pattern = _DOCINFO if lines and lines[0].startswith(":") else _FIELD
    while end < len(lines) and lines[end].strip():
        if pattern.match(lines[end]):
            fields += 1
        elif not (fields and lines[end][0] in " \t"):
            return 0
        end += 1
    return end if fields >= (1 if pattern is _DOCINFO else _MIN_FIELDS) else 0


def _grouped(lines: Sequence[str], pattern: re.Pattern[str]) -> list[tuple[str, str, list[str]]]:
    """Key, text behind it, and the stripped lines up to the next key."""
    groups: list[tuple[str, str, list[str]]] = []
    for line in lines:
        if match := pattern.match(line):
            groups.append((match[1].strip(), (match[2] or "").strip(), []))
        elif groups and line.strip() and not line.startswith("#"):
            groups[-1][2].append(line.strip())
    return groups


def _yaml_value(first: str, rest: Sequence[str]) -> Json:
    if not rest:
        return _flow(first)
    if not first and all(line == "-" or line.startswith("- ") for line in rest):
        return [_scalar(line[1:].strip()) for line in rest]
    lead = "" if first[:1] in {"|", ">"} else first
    joint = "\n" if first.startswith("|") or not first else " "
    return joint.join(part for part in (lead, *rest) if part)


def _flow(text: str) -> Json:
    """A scalar, or ``[a, b]`` as a list where no element is nested or quoted with a comma."""
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].strip()
        elements = [element.strip() for element in inner.split(",")] if inner else []
        if all(element and not _is_nested(element) for element in elements):
            return [_scalar(element) for element in elements]
        return text
    return _scalar(text)


def _is_nested(element: str) -> bool:
    quote = element[0]
    half_quoted = quote in "\"'" and (len(element) == 1 or element[-1] != quote)
    return half_quoted or any(mark in element for mark in "[]{}")


def _scalar(text: str) -> Json:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1].replace('\\"', '"')
    text = text.split(" #", 1)[0].rstrip()
    if text.lower() in _WORDS or not text:
        return _WORDS.get(text.lower())
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _DECIMAL.match(text) else text

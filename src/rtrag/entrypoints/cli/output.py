"""Writing to the terminal. Plain text by default: ``rich`` takes a fifth of a second to import."""

import json
import os
import sys
from typing import Any

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def styled(text: str, style: str, *, to_stderr: bool = False) -> str:
    """The text in a style, where the terminal shows it."""
    stream = sys.stderr if to_stderr else sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line beside the result, on the error stream."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def show_json(value: Any) -> None:
    """A result for programs: one JSON value."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None) + "\n")
    sys.stdout.flush()


def show_error(message: str, fix: str = "") -> None:
    """What went wrong and what to do, on the error stream."""
    note(f"{styled('Error:', 'red', to_stderr=True)} {message}")
    if fix:
        note(f"{styled('Fix:', 'green', to_stderr=True)} {fix}")


def printable(text: str) -> str:
    """Without control characters: a document must not steer the terminal it is shown in."""
    return "".join(
        character
        for character in text
        if character in "\n\t" or character == "\x1b" or not (ord(character) < 32 or 0x7F <= ord(character) < 0xA0)
    )


def plain(text: str) -> str:
    """Foreign text for the terminal: control characters and escape sequences removed."""
    return printable(text.replace("\x1b", ""))

"""Reading one string field of a JSON object while the object still arrives."""

import re

_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNICODE_LENGTH = 6  # \uXXXX
_HIGH, _LOW, _AFTER = 0xD800, 0xDC00, 0xE000  # halves of characters beyond 16 bits
_UNKNOWN = "\ufffd"


class StringField:
    """Feed it the pieces of an object; it gives back what they add to the text of the field, decoded."""

    def __init__(self, name: str) -> None:
        # A quotation mark inside another string has a backslash before it.
        self._opening = re.compile(rf'(?<!\\)"{re.escape(name)}"\s*:\s*"')
        self._rest = ""
        self._inside = False
        self._closed = False

    def feed(self, piece: str) -> str:
        """The further text of the field that this piece brings; empty before its beginning and after its end."""
        if self._closed:
            return ""
        self._rest += piece
        if not self._inside:
            match = self._opening.search(self._rest)
            if match is None:
                return ""
            self._inside = True
            self._rest = self._rest[match.end() :]
        return self._decode()

    def _decode(self) -> str:
        text = self._rest
        decoded: list[str] = []
        place = 0
        while place < len(text):
            if text[place] == '"':
                self._closed = True
                break
            if text[place] == "\\":
                value, length = _escape(text, place)
                if length == 0:
                    break
            else:
                value, length = text[place], 1
            decoded.append(value)
            place += length
        self._rest = text[place:]
        return "".join(decoded)


def _escape(text: str, place: int) -> tuple[str, int]:
    """What the escape at a place stands for, and its length; 0 if it has not fully arrived."""
    kind = text[place + 1 : place + 2]
    if kind != "u":
        return (_ESCAPES.get(kind, kind), 2) if kind else ("", 0)
    unit = _code_unit(text, place)
    if unit is None:
        return "", 0
    if _HIGH <= unit < _LOW:
        return _second_half(unit, text, place + _UNICODE_LENGTH)
    return (_UNKNOWN if _LOW <= unit < _AFTER else chr(unit)), _UNICODE_LENGTH


def _second_half(first: int, text: str, place: int) -> tuple[str, int]:
    """The character beyond 16 bits that begins with ``first``, once its second half has arrived."""
    if not "\\u".startswith(text[place : place + 2]):
        return _UNKNOWN, _UNICODE_LENGTH
    second = _code_unit(text, place)
    if second is None:
        return "", 0
    if _LOW <= second < _AFTER:
        return chr(0x10000 + ((first - _HIGH) << 10) + (second - _LOW)), 2 * _UNICODE_LENGTH
    return _UNKNOWN, _UNICODE_LENGTH


def _code_unit(text: str, place: int) -> int | None:
    digits = text[place + 2 : place + _UNICODE_LENGTH]
    if len(digits) < _UNICODE_LENGTH - 2:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return ord(_UNKNOWN)

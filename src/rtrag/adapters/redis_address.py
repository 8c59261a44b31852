"""The address of a Redis server: checked before anything is opened, and told without its password."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from rtrag.domain.errors import ConfigurationError

FIX: Final = "write REDIS_URL as redis://HOST:6379/0, rediss://:PASSWORD@HOST:6379/0 (TLS), or unix:///PATH."
_OPTIONS: Final = ("db", "ssl_")  # others would undo the limits of the cache


def place_of(url: str) -> str:
    """The server for messages, without a password. Raises ConfigurationError."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URL is not an address: {error}.", fix=FIX) from error
    if unwanted := sorted(name for name in options if not name.startswith(_OPTIONS)):
        raise ConfigurationError(f"REDIS_URL has options that are not taken: {', '.join(unwanted)}.", fix=FIX)
    if parts.scheme == "unix" and parts.path:
        return f"unix:{parts.path}"
    number = parts.path.strip("/")
    if parts.scheme not in {"redis", "rediss"} or not (number.isdecimal() or not number):
        raise ConfigurationError("REDIS_URL is not the address of a Redis server.", fix=FIX)
    return f"{parts.hostname or 'localhost'}:{port}/{number or 0}"

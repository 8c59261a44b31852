"""Parts whose libraries are not in every installation."""

from collections.abc import Iterator
from contextlib import contextmanager

from rtrag.domain.errors import ConfigurationError


@contextmanager
def needs_extra(what: str) -> Iterator[None]:
    """Import inside: a library that is not installed is an error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "rtrag":
            raise
        raise ConfigurationError(
            f"{what} needs a package that is not installed: {error.name}.", fix="pip install 'rtrag[distributed]'"
        ) from error

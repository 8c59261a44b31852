"""What Qdrant Edge raises, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from rtrag.domain.errors import ServiceUnavailableError, TerminalError


@contextmanager
def engine_errors(action: str) -> Iterator[None]:
    """Map what the engine raises while ``action`` is done.

    Values that it cannot convert are a TerminalError, its other failures a ServiceUnavailableError.
    """
    try:
        yield
    except (TypeError, ValueError) as exc:
        raise TerminalError(f"The index could not {action}: it cannot hold these values ({exc}).") from exc
    except Exception as exc:
        if type(exc) is not Exception and not isinstance(exc, OSError):
            raise  # Edge raises bare Exception for whatever goes wrong inside it
        raise ServiceUnavailableError(f"The index could not {action}: {exc}") from exc

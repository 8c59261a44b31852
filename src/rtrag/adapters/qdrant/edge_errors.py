"""What Qdrant Edge raises, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from rtrag.domain.errors import RtragError, ServiceUnavailableError, TerminalError


@contextmanager
def engine_errors(action: str) -> Iterator[None]:
    """Map what the engine raises while ``action`` is done.

    Values that it cannot convert are a TerminalError, everything else is a ServiceUnavailableError.
    """
    try:
        yield
    except RtragError:
        raise
    except (TypeError, ValueError) as exc:
        raise TerminalError(f"The index could not {action}: it cannot hold these values ({exc}).") from exc
    except Exception as exc:  # Edge raises bare Exception, and nothing else runs in these blocks
        raise ServiceUnavailableError(f"The index could not {action}: {exc}") from exc

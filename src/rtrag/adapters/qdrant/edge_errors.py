"""What Qdrant Edge raises, in our words."""

from contextlib import AbstractContextManager
from types import TracebackType

from rtrag.domain.errors import ServiceUnavailableError, TerminalError


def engine_errors(action: str) -> AbstractContextManager[None]:
    """Map what the engine raises while ``action`` is done.

    Values that it cannot convert are a TerminalError, its other failures a ServiceUnavailableError.
    """
    return _EngineErrors(action)


class _EngineErrors(AbstractContextManager[None]):
    """A class, because every query enters several: a generator takes three times as long."""

    __slots__ = ("_action",)

    def __init__(self, action: str) -> None:
        self._action = action

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, (TypeError, ValueError)):
            raise TerminalError(
                f"The index could not {self._action}: it cannot hold these values ({error})."
            ) from error
        if type(error) is Exception or isinstance(
            error, OSError
        ):  # Edge raises bare Exception for what goes wrong inside
            raise ServiceUnavailableError(f"The index could not {self._action}: {error}") from error

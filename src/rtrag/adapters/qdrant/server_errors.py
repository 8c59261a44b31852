"""What the Qdrant client raises, in our words: the same over REST, over gRPC and in its local mode."""

import json
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from grpc import StatusCode  # type: ignore[import-untyped]  # grpc comes without types
from grpc.aio import AioRpcError  # type: ignore[import-untyped]
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from rtrag.domain.errors import ConfigurationError, RtragError, ServiceUnavailableError, TerminalError

# What the client raises for an answer that says no; ValueError in its local mode.
REFUSALS: Final = (UnexpectedResponse, AioRpcError, ValueError)

_REFUSED: Final = (401, 403)
_NOT_FOUND: Final = 404
_BUSY: Final = (408, 409, 425, 429)
_SERVER_ERROR: Final = 500
# gRPC has codes where REST has numbers; every other code is a failure that may pass.
_GRPC_STATUS: Final = {
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.UNIMPLEMENTED: 400,
}


class ServerErrors:
    """Maps what is raised by calls to one server; ``server`` names it in messages."""

    def __init__(self, server: str) -> None:
        self.server = server

    def while_(self, action: str) -> AbstractContextManager[None]:
        """Map what the client raises while ``action`` is done, such as "search".

        Values that the server refuses are a TerminalError, a key that it refuses is a ConfigurationError, anything
        that may pass is a ServiceUnavailableError.
        """
        return _Mapping(self, action)

    def mapped(self, error: Exception, action: str) -> RtragError | None:
        """Our error for one of the client's; None for what is not the client's to raise."""
        match error:
            case RtragError():
                return None
            case UnexpectedResponse(status_code=int(status)):
                return self._by_status(status, _said(error), action)
            case AioRpcError():
                status = _GRPC_STATUS.get(error.code(), _SERVER_ERROR)
                return self._by_status(status, f"{error.code().name}: {error.details()}", action)
            case json.JSONDecodeError() | UnicodeDecodeError():
                return self._away(f"its answer is not that of a Qdrant server ({error})", action)
            case TypeError() | ValueError():  # also what the local mode raises for requests that a server refuses
                return TerminalError(f"The index could not {action}: it cannot hold these values ({error}).")
            case _:
                return self._passing(error, action)

    def _passing(self, error: Exception, action: str) -> RtragError | None:
        match error:
            case ResourceExhaustedResponse(retry_after_s=seconds):
                said = f"it is too busy: {error}"
                return ServiceUnavailableError(self._could_not(action, said), retry_after=float(seconds))
            case ResponseHandlingException(source=cause):
                return self._away(f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__, action)
            case OSError() | RuntimeError():
                return self._away(str(error), action)
            case _:
                return None

    def _by_status(self, status: int, said: str, action: str) -> RtragError:
        if status in _REFUSED:
            return ConfigurationError(
                f"The Qdrant server at {self.server} does not let us {action}: {said}",
                fix="Correct the API key; it must be allowed to read, write and make the collection.",
            )
        if status == _NOT_FOUND:
            return ServiceUnavailableError(
                f"The Qdrant server at {self.server} could not {action}, something is missing there: {said} "
                "If the collection was deleted, start again: it is made anew and filled again (with changes from "
                "Kafka, for a group of another name)."
            )
        if status in _BUSY or status >= _SERVER_ERROR:
            return self._away(f"it answered {status}: {said}", action)
        return TerminalError(f"The Qdrant server refused to {action} with these values ({status}): {said}")

    def _away(self, cause: str, action: str) -> ServiceUnavailableError:
        return ServiceUnavailableError(self._could_not(action, cause))

    def _could_not(self, action: str, cause: str) -> str:
        return f"The Qdrant server at {self.server} could not {action}: {cause}"


class _Mapping(AbstractContextManager[None]):
    """A class, because every query enters several: a generator takes three times as long."""

    __slots__ = ("_action", "_errors")

    def __init__(self, errors: ServerErrors, action: str) -> None:
        self._errors = errors
        self._action = action

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            mapped = self._errors.mapped(error, self._action)
            if mapped is not None:
                raise mapped from error


def _said(error: UnexpectedResponse) -> str:
    """What the server said, which is JSON unless a proxy in front of it answered."""
    try:
        said = json.loads(error.content)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        said = error.content.decode(errors="replace").strip() or error.reason_phrase
    return str(said)[:500]

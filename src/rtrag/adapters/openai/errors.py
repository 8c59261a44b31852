"""What the errors of OpenAI's client mean here."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    OpenAIError,
    PermissionDeniedError,
    RateLimitError,
)

from rtrag.domain.errors import ConfigurationError, RtragError, ServiceUnavailableError, TerminalError, TransientError

_QUOTA_DELAY = 60.0  # seconds; a used up quota does not come back in less
_REFUSED = frozenset({400, 404, 413, 422})
_SETTINGS = frozenset({"model", "dimensions", "encoding_format", "temperature", "max_tokens", "max_completion_tokens"})


def mapped(exc: OpenAIError, *, model: str, address: str) -> RtragError:
    """The error to raise instead: TransientError, ConfigurationError or TerminalError (the request is refused)."""
    if isinstance(exc, APITimeoutError):
        return ServiceUnavailableError(f"{address} did not answer in time for model {model!r}; it is tried again.")
    if isinstance(exc, APIConnectionError):
        return ServiceUnavailableError(f"{address} cannot be reached: {exc.__cause__ or exc}; it is tried again.")
    if isinstance(exc, APIStatusError):
        return _of_status(exc, model, address)
    # Without a status: an error event inside a stream, or an answer that is not of the protocol.
    return TransientError(f"{address} broke off with: {exc}; it is tried again.")


def refused(exc: APIStatusError) -> bool:
    """Whether the server refuses what was asked, rather than who asked or with which settings."""
    return exc.status_code in _REFUSED and not _is_setting(exc)


def _of_status(exc: APIStatusError, model: str, address: str) -> RtragError:
    said = f"{address} answered {exc.status_code}: {exc.message}"
    if isinstance(exc, RateLimitError):
        delay = _QUOTA_DELAY if exc.code == "insufficient_quota" else retry_after(exc)
        return TransientError(f"{said}; it is tried again later.", retry_after=delay)
    if isinstance(exc, AuthenticationError | PermissionDeniedError):
        return ConfigurationError(said, fix="set OPENAI_API_KEY to a key that is valid for this address and model.")
    if _is_setting(exc):
        return ConfigurationError(
            said, fix=f"check the model ({model!r}), its settings and the base_url: one of them does not fit the other."
        )
    if exc.status_code in _REFUSED:
        return TerminalError(said)
    return ServiceUnavailableError(f"{said}; it is tried again.") if retry_after(exc) is None else _later(exc, said)


def _later(exc: APIStatusError, said: str) -> TransientError:
    return TransientError(f"{said}; it is tried again later.", retry_after=retry_after(exc))


def _is_setting(exc: APIStatusError) -> bool:
    return exc.status_code == 404 or exc.code == "model_not_found" or exc.param in _SETTINGS


def retry_after(exc: APIStatusError) -> float | None:
    """The delay in seconds that the server asks for, None if it does not; never negative."""
    headers = exc.response.headers
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) / unit)
        except ValueError:
            continue
    try:
        return max(0.0, (parsedate_to_datetime(headers.get("retry-after", "")) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no such header, no date, or a date without a zone
        return None

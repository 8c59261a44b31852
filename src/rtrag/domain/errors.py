"""Errors say what to do: retry, keep as a dead letter, stop, or answer the caller.

    RtragError
    |-- TransientError            retry with backoff
    |   |-- SourceInterruptedError
    |   |-- EmbeddingUnavailableError
    |   `-- ServiceUnavailableError
    |-- TerminalError             this document cannot be processed: dead letter
    |-- ConfigurationError        stop; ``fix`` says what to change
    `-- RequestError              the caller's request; HTTP decides the status
        |-- InvalidRequestError
        |-- NotFoundError
        |-- ConflictError
        |-- ReadOnlyCollectionError
        |-- FreshnessTimeoutError
        |-- DeadLetterOpenError
        |-- TooSlowError
        `-- NotReadyError

A class's docstring is its default message.
"""


class RtragError(Exception):
    """Something went wrong in Real-Time RAG."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class TransientError(RtragError):
    """A dependency failed in a way that may pass; the operation can be tried again.

    ``retry_after`` is the delay in seconds that the dependency asked for, if it did.
    """

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceInterruptedError(TransientError):
    """The stream of changes was interrupted; reconnecting resumes it without loss."""


class EmbeddingUnavailableError(TransientError):
    """The embedder did not embed a text, for a reason that may pass."""


class ServiceUnavailableError(TransientError):
    """A service that is needed did not answer."""


class TerminalError(RtragError):
    """This document cannot be processed; trying again unchanged would fail again."""


class ConfigurationError(RtragError):
    """The configuration does not fit; ``fix`` says what to change."""

    def __init__(self, message: str | None = None, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix

    @property
    def message(self) -> str:
        """What does not fit, without the fix."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.message} Fix: {self.fix}"


class RequestError(RtragError):
    """The request cannot be served."""


class InvalidRequestError(RequestError):
    """The request is not valid."""


class NotFoundError(RequestError):
    """What was asked for does not exist."""


class ConflictError(RequestError):
    """Someone else changed the document first; read it again and repeat the change."""


class ReadOnlyCollectionError(RequestError):
    """The collection is not declared writable; change its rows in PostgreSQL."""


class FreshnessTimeoutError(RequestError):
    """The index did not reach the required position within the time allowed."""


class DeadLetterOpenError(RequestError):
    """The write could not be indexed: its document has an open dead letter."""


class TooSlowError(RequestError):
    """Answering took longer than a request may; ask for less."""


class NotReadyError(RequestError):
    """The service is still starting."""

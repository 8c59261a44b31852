"""Errors of commands: what happened, and what to do about it."""

from http import HTTPStatus
from typing import Any

USAGE = 2
FAILURE = 1
_FIX = " Fix: "  # how the text of an error that somebody has to mend goes on


class CommandError(Exception):
    """A command could not do its work. ``fix`` says what to do; ``code`` becomes the exit code."""

    def __init__(self, message: str, *, fix: str = "", code: int = FAILURE) -> None:
        super().__init__(message)
        self.fix = fix
        self.code = code


class ApiError(CommandError):
    """The instance answered with a problem."""

    def __init__(self, status: int, problem: Any, *, url: str) -> None:
        known = problem if isinstance(problem, dict) else {}
        detail = str(known.get("detail") or f"{url} answered with status {status}, which says nothing more.")
        happened, _, fix = detail.partition(_FIX)
        super().__init__(happened, fix=fix or _fix(status, known))
        self.status = status
        self.type = str(known.get("type", ""))


def _fix(status: int, problem: dict[str, Any]) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "give a key with --api-key, or set http.api_keys in the configuration that this command reads."
    if str(problem.get("type", "")).endswith(("no-such-path", "method-not-allowed")):
        return "the instance serves another role; use the address of the other service with --url."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and problem.get("request_id"):
        return f"`rtrag doctor` may tell more; the log has it under request id {problem['request_id']}."
    return ""

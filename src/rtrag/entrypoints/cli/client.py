"""Talking to an instance over HTTP.

The standard library's client: importing httpx takes 0.6 s (measured), more than a whole command may.
"""

import http.client
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from rtrag.entrypoints.cli.errors import USAGE, ApiError, CommandError
from rtrag.entrypoints.cli.instance import Instance, Target, read_instance

_TIMEOUT = 120.0
_PROBE_TIMEOUT = 2.0


class Api(Protocol):
    """The HTTP API, wherever it runs."""

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = _TIMEOUT,
    ) -> Any:
        """The JSON of the response, None if it is empty. ``timeout`` is in seconds, None means no limit.

        Raises ApiError for a problem, CommandError if nobody answers.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class HttpApi:
    """An instance at an address. Proxies of the environment are not used: it is usually this machine."""

    def __init__(self, url: str, key: str | None) -> None:
        parts = _address(url)
        if key is not None and not (key.isascii() and key.isprintable()):
            raise CommandError("The API key holds characters that no key has.", fix="correct --api-key.", code=USAGE)
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({"X-API-Key": key} if key else {})
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(parts.hostname or "", parts.port)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname or "", parts.port)
        )

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = _TIMEOUT,
    ) -> Any:
        status, content = self._exchange(method, with_params(path, params), body, timeout)
        return parsed(status, content, url=self.url)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, method: str, path: str, body: Any, timeout: float | None) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({} if content is None else {"Content-Type": "application/json"})
        connection = self._connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            connection.request(method, self._prefix + path, content, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            raise CommandError(
                f"{self.url} did not answer: {exc or type(exc).__name__}.",
                fix="start an instance with `rtrag up`, or give its address with --url.",
            ) from exc


def _address(url: str) -> SplitResult:
    """The parts of an address. Raises CommandError if it is none."""
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # a port that is no number, brackets that do not match
        pass
    raise CommandError(f"{url!r} is not an address.", fix="give one as http://localhost:8000.", code=USAGE)


def running_instance(target: Target) -> Instance | None:
    """The instance that runs on the target's data folder.

    The file may be left over from a crash, and its port taken by somebody else: only the process that wrote it counts.
    """
    found = read_instance(target.folder)
    if found is None:
        return None
    try:
        with HttpApi(found.url, target.key) as api:
            health = api.call("GET", "/health", timeout=_PROBE_TIMEOUT)
    except CommandError:
        return None
    return found if isinstance(health, dict) and health.get("pid") == found.pid else None


def running_api(target: Target) -> HttpApi | None:
    """The API of the instance at ``--url``, or of the one that runs on the data folder; None if none runs."""
    if target.url is not None:
        return HttpApi(target.url, target.key)
    found = running_instance(target)
    return None if found is None else HttpApi(found.url, target.key)


def parsed(status: int, content: bytes, *, url: str) -> Any:
    """The JSON of a response. Raises ApiError for a problem."""
    try:
        value = json.loads(content) if content else None
    except ValueError as exc:
        if status < http.HTTPStatus.BAD_REQUEST:
            raise CommandError(f"{url} does not speak JSON.", fix="check --url: is this Real-Time RAG?") from exc
        value = None
    if status >= http.HTTPStatus.BAD_REQUEST:
        raise ApiError(status, value, url=url)
    return value


def with_params(path: str, params: Mapping[str, Any] | None) -> str:
    """The path with a query string; parameters that are None are left out."""
    given = {name: value for name, value in (params or {}).items() if value is not None}
    return f"{path}?{urlencode(given, errors='replace')}" if given else path


def document_path(document_id: str) -> str:
    """The path of a document; an id from a response is percent-encoded already."""
    return "/api/documents/" + quote(document_id, safe="/%~:@", errors="replace")


def letter_path(key: str) -> str:
    """The path of a dead letter."""
    return "/api/dead-letters/" + quote(key, safe="/%~:@", errors="replace")

"""A small HTTP client over one kept-alive connection, so that its own cost (about 0.05 ms) is not what is measured."""

import json
import socket
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class ServerGoneError(Exception):
    """The connection broke before the whole response was there."""


class Client:
    """Requests with JSON bodies to one server; not for several threads. Only bodies with a Content-Length are read."""

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def get(self, path: str) -> tuple[int, Any]:
        """Status and decoded body. Raises ServerGoneError."""
        return self.request("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and decoded body. Raises ServerGoneError."""
        return self.request("POST", path, body)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Status and decoded body. Raises ServerGoneError."""
        payload = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._address[0]}:{self._address[1]}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        try:
            connection = self._connect()
            connection.sendall(head.encode() + payload)
            status, content = _read(connection)
        except OSError as exc:
            self.close()
            raise ServerGoneError(f"{method} {path} at {self._address}: {exc}") from exc
        return status, _decoded(content)

    def _connect(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _decoded(content: bytes) -> Any:
    """What a body holds: a server that is stopped in the middle of an answer says so in plain text."""
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")


def _read(connection: socket.socket) -> tuple[int, bytes]:
    """One response: status and body. ConnectionError when it ends too early or has no length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, content = received.partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    status = int(status_line.split()[1])
    if status == 204:
        return status, b""
    if b"content-length" not in headers:
        raise ConnectionError("the response has no Content-Length")
    parts, missing = [content], int(headers[b"content-length"]) - len(content)
    while missing > 0:
        parts.append(_some(connection))
        missing -= len(parts[-1])
    return status, b"".join(parts)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(262_144)
    if not data:
        raise ConnectionError("closed by the server")
    return data

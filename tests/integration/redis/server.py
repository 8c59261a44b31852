"""A real Redis or Valkey server on a free port of loopback, which can be killed, started again and frozen."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

REDIS = "redis-server"
VALKEY = "valkey-server"
_START_SECONDS = 30.0


class RedisServer:
    """A server without persistence. ``options`` are the program's own, such as ``--maxmemory``."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
                         "--logfile", str(folder / f"{self.port}.log"), *options]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """From now on it accepts connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def ask(self, *words: str | bytes, password: str | None = None) -> Any:
        """What it says to a command, from a connection of its own."""
        with Redis(port=self.port, password=password) as client:
            return client.execute_command(*words)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except (OSError, RedisError):
            return False


@contextmanager
def running(program: str, folder: Path, *options: str) -> Iterator[RedisServer]:
    """A running server. Skips where the program is missing; in CI a missing Redis fails."""
    found = shutil.which(program)
    if found is None:
        message = f"{program} is not installed (on Debian: apt-get install {program})"
        if program == REDIS and os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    server = RedisServer(found, folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

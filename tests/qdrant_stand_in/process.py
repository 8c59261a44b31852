"""The stand-in as a process of a test's own, which can be killed and started again at the same address."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_TESTS = Path(__file__).parents[1]
_PATIENCE_SECONDS = 60.0


class StandIn:
    """A stand-in over a folder; it is not running until ``start``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What it has said, mostly nothing."""
        return (self._folder / "stand-in.log").read_text()

    def start(self) -> None:
        """Start it, until it answers; what it had acknowledged before is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "qdrant_stand_in", "--port", str(self._port), "--folder", str(self._folder)]
        environment = {**os.environ, "PYTHONPATH": str(_TESTS)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every start would take seconds
        with (self._folder / "stand-in.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, f"the stand-in does not answer: {self.log}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE_SECONDS)
            self._process = None

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=1).is_success
        except httpx.TransportError:
            return False


@contextmanager
def running_stand_in(folder: Path) -> Iterator[StandIn]:
    """A running stand-in, killed at the end."""
    stand_in = StandIn(folder)
    stand_in.start()
    try:
        yield stand_in
    finally:
        stand_in.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""Starting ``rtrag`` as a user does: a process of its own, in a folder of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 120.0
STOP_SECONDS = 60.0
_READY = re.compile(r"Ready at (http://\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass(slots=True, kw_only=True)
class Up:
    """A running ``rtrag up``. ``seconds`` is how long it took to answer."""

    process: "subprocess.Popen[str]"
    folder: Path
    url: str
    seconds: float

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON that a POST is answered with."""
        response = httpx.post(self.url + path, json=body, timeout=30)
        assert response.is_success, response.text
        found: dict[str, Any] = response.json()
        return found

    def get(self, path: str) -> dict[str, Any]:
        """The JSON that a GET is answered with."""
        response = httpx.get(self.url + path, timeout=30)
        assert response.is_success, response.text
        found: dict[str, Any] = response.json()
        return found

    def stop(self, number: int = signal.SIGINT) -> Done:
        """Stop it as Ctrl-C does."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> Done:
        """How it ended."""
        _, err = self.process.communicate(timeout=STOP_SECONDS)
        return Done(code=self.process.returncode, out=(self.folder / "up.log").read_text(), err=err)


def environment(**extra: str) -> dict[str, str]:
    """The environment without settings of the developer's own."""
    names = ("POSTGRES_URL", "OPENAI_API_KEY", "KAFKA_BOOTSTRAP_SERVERS", "QDRANT_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RTRAG_") and name not in names}
    return {**kept, "NO_COLOR": "1", **extra}


def rtrag(folder: Path, *arguments: str, **extra: str) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        command(arguments),
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


@contextmanager
def running_up(folder: Path, *arguments: str) -> Iterator[Up]:
    """``rtrag up`` on a free port, until the block ends."""
    started = time.monotonic()
    process = spawn(folder, *arguments)
    try:
        url = _await_url(folder, process)
        yield Up(process=process, folder=folder, url=url, seconds=time.monotonic() - started)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=STOP_SECONDS)


def spawn(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start ``rtrag up`` without waiting; what it prints goes to ``up.log``."""
    with (folder / "up.log").open("w") as log:
        return subprocess.Popen(
            command(("up", "--port", "0", *arguments)),
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
        )


def command(arguments: Sequence[str]) -> list[str]:
    """The installed command beside this interpreter."""
    return [str(Path(sys.executable).with_name("rtrag")), *arguments]


def _await_url(folder: Path, process: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = _READY.search((folder / "up.log").read_text())
        if found:
            return found[1]
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"not ready in {START_SECONDS} s: {process.communicate()[1]}")

"""``rtrag serve update`` and ``rtrag serve query`` as processes of their own."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from e2e.instances import command, environment

Role = Literal["update", "query"]
PATIENCE_SECONDS = 90.0
STOP_SECONDS = 60.0


@dataclass(slots=True)
class Service:
    """One process in a data folder of its own."""

    role: Role
    folder: Path
    process: "subprocess.Popen[bytes]"
    url: str = ""

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "service.log").read_text()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        return _taken(httpx.get(self.url + path, timeout=PATIENCE_SECONDS))

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        return _taken(httpx.post(self.url + path, json=body, timeout=PATIENCE_SECONDS))

    def ask(self, text: str, token: str | None = None, wait_ms: int = 60_000) -> tuple[int, dict[str, Any]]:
        """The answer to a question, one that reflects a token if there is one."""
        freshness = {} if token is None else {"min_position": token, "wait_ms": wait_ms}
        return self.post("/query", {"query": text, "page_size": 100, **freshness})

    def shown(self, text: str, token: str | None = None) -> dict[str, str]:
        """The first passage of each document that a question finds, by id."""
        status, answer = self.ask(text, token)
        assert status == 200, answer
        found: dict[str, str] = {}
        for source in answer["sources"]:
            found.setdefault(source["id"], source["text"])
        return found

    def problems(self) -> tuple[int, str]:
        """Status of ``/ready``, and what it says is wrong."""
        status, body = self.get("/ready")
        return status, " ".join(body["problems"])

    def totals(self) -> dict[str, int]:
        """What it has counted."""
        status, body = self.get("/metrics" if self.role == "query" else "/api/metrics")
        assert status == 200, body
        return dict(body["pipeline"]["totals"])

    def await_ready(self) -> None:
        """Until it is ready."""
        until(lambda: self.problems()[0] == 200, f"{self.role} service is ready", self.said)

    def said(self) -> str:
        """What it says of itself, for whoever waits in vain."""
        assert self.process.poll() is None, self.log
        return f"{self.get('/health')[1]}\n{self.log}"

    def stop(self) -> None:
        """Stop it in order."""
        self.process.terminate()
        self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


@contextmanager
def running(role: Role, folder: Path, settings: Mapping[str, str]) -> Iterator[Service]:
    """A service that listens, stopped at the end unless it has ended before."""
    service = spawn(role, folder, settings)
    try:
        until(lambda: _announced(service), f"{role} service listens", lambda: service.log)
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()


def spawn(role: Role, folder: Path, settings: Mapping[str, str]) -> Service:
    """Start a service and wait for nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = environment(**settings, RTRAG_DATA_FOLDER=str(folder))
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every start would take seconds more
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(
            command(("serve", role, "--port", "0")),
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return Service(role, folder, process)


def until(reached: Callable[[], bool], what: str, said: Callable[[], object] = str) -> None:
    """Wait for something; where it does not come, ``said`` tells how things are."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"not so within {PATIENCE_SECONDS:.0f} s: {what}; {said()}"
        time.sleep(0.1)


def _announced(service: Service) -> bool:
    assert service.process.poll() is None, service.log
    try:
        known = json.loads((service.folder / "instance.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    service.url = known["url"]
    return bool(known["pid"] == service.process.pid)


def _taken(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    return response.status_code, dict(response.json())

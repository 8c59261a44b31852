"""A real instance of the system in a folder: ``rtrag serve all`` as a process of its own, with its PostgreSQL."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from benchmarks.client import Client, ServerGoneError

from rtrag.adapters.postgres.embedded import open_embedded_postgres

POSTGRES_FOLDER = "postgres"
ANNOUNCEMENT = "instance.json"
LOG = "instance.log"
COMMAND = (str(Path(sys.executable).with_name("rtrag")), "serve", "all")
START_SECONDS = 180.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01
COPY_POLL_SECONDS = 0.05


class InstanceFailedError(Exception):
    """The process ended, or did not become ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A running process.

    Attributes:
        started: ``time.perf_counter()`` when it was launched.
    """

    folder: Path
    process: "subprocess.Popen[bytes]"
    url: str
    postgres_url: str
    started: float

    def status(self, client: Client) -> dict[str, Any]:
        """The state of the pipeline."""
        return dict(self._expect(client.get("/api/pipeline/status")))

    def verify(self, client: Client) -> list[dict[str, Any]]:
        """What table and index differ in."""
        return list(self._expect(client.post("/api/verify", {"repair": False}))["differences"])

    def wait_ready(self, client: Client, seconds: float = START_SECONDS) -> float:
        """Wait until it answers from a current index; seconds since its launch. Raises InstanceFailedError."""
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            try:
                status, _ = client.get("/ready")
            except ServerGoneError:
                status = 0
            if status == 200:
                return time.perf_counter() - self.started
            if self.process.poll() is not None:
                raise InstanceFailedError(
                    f"the instance ended with code {self.process.returncode}\n{log_tail(self.folder)}"
                )
            time.sleep(POLL_SECONDS)
        raise InstanceFailedError(
            f"the instance in {self.folder} was not ready after {seconds:.0f} s\n{log_tail(self.folder)}"
        )

    def processes(self) -> list[psutil.Process]:
        """The process, everything below it, and its PostgreSQL."""
        roots = [psutil.Process(self.process.pid)]
        server = postgres_process(self.folder)
        if server is not None:
            roots.append(server)
        tree = {child.pid: child for root in roots for child in (root, *root.children(recursive=True))}
        return list(tree.values())

    def pss_mb(self) -> float:
        """Summed proportional set size in MB (10^6 bytes) of all its processes, PostgreSQL included."""
        return round(sum(_pss_kb(process.pid) for process in self.processes()) * 1024 / 1e6, 1)

    def stop(self) -> None:
        """Ask it to stop and wait; kill it if it does not."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill(self.process, self.folder, postgres=True)
            raise InstanceFailedError(f"the instance did not stop within {STOP_SECONDS:.0f} s") from None

    def _expect(self, response: tuple[int, Any]) -> Any:
        status, body = response
        if status != 200:
            raise InstanceFailedError(f"the instance answered {status}: {body}")
        return body


def spawn(folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Start the process of an instance and wait for nothing. ``settings`` are added to its environment."""
    (folder / ANNOUNCEMENT).unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RTRAG_")}
    environment |= {
        "RTRAG_DATA_FOLDER": str(folder),
        "RTRAG_HTTP__PORT": str(port),
        "RTRAG_QUERY__FRESHNESS_MAX_MS": "60000",
    }
    for name in ("POSTGRES_URL", "KAFKA_BOOTSTRAP_SERVERS", "QDRANT_URL", "REDIS_URL"):
        environment.pop(name, None)  # an address that is set is used
    environment |= settings or {}
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            COMMAND,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def launch(folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> Instance:
    """Start an instance in a folder and wait until it listens. Raises InstanceFailedError."""
    started = time.perf_counter()
    process = spawn(folder, port=port, settings=settings)
    while time.perf_counter() < started + START_SECONDS:
        if known := _announced(folder / ANNOUNCEMENT, process.pid):
            return Instance(
                folder=folder,
                process=process,
                url=known["url"],
                postgres_url=known["postgres_url"],
                started=started,
            )
        if process.poll() is not None:
            raise InstanceFailedError(f"the instance ended with code {process.returncode}\n{log_tail(folder)}")
        time.sleep(POLL_SECONDS)
    process.kill()
    raise InstanceFailedError(f"the instance in {folder} did not listen after {START_SECONDS:.0f} s")


@contextmanager
def running(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Instance]:
    """An instance that is stopped at the end."""
    instance = launch(folder, settings=settings)
    try:
        yield instance
    finally:
        instance.stop()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kill(process: "subprocess.Popen[bytes]", folder: Path, *, postgres: bool) -> None:
    """``kill -9``, of the folder's PostgreSQL as well if asked for; returns when they are gone."""
    server = postgres_process(folder) if postgres else None
    victims = [server, *server.children(recursive=True)] if server is not None else []
    process.kill()
    for victim in victims:
        if victim.is_running():
            victim.kill()
    process.wait()
    psutil.wait_procs(victims, timeout=STOP_SECONDS)


def postgres_process(folder: Path) -> psutil.Process | None:
    """The PostgreSQL server in an instance's folder, None if there is none."""
    pid_file = folder / POSTGRES_FOLDER / "data" / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split(maxsplit=1)[0]))
        return process if str(folder.resolve()) in " ".join(process.cmdline()) else None
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None


def log_tail(folder: Path) -> str:
    """The last lines that the instance of a folder wrote."""
    return "\n".join((folder / LOG).read_text(errors="replace").splitlines()[-20:])


def prepare_database(folder: Path, fill: Callable[[str], int]) -> int:
    """Start PostgreSQL alone in an instance's folder, let ``fill`` write the documents, stop; how many it wrote.

    So the documents are there before anything is indexed, and the instance makes a first copy of them.
    """

    async def prepare() -> int:
        async with open_embedded_postgres(folder / POSTGRES_FOLDER) as server:
            return await asyncio.to_thread(fill, server.url)

    return asyncio.run(prepare())


def first_copy_rate(instance: Instance, documents: int) -> float:
    """Wait until the first copy is complete; documents a second, from its beginning until all are visible.

    The beginning is taken from the first status that shows copied documents: what was copied by then is left out on
    both sides. The status is asked for every 50 ms: answering it more often would slow the copy.
    """
    first: tuple[float, int] | None = None
    with Client(instance.url) as client:
        deadline = time.perf_counter() + START_SECONDS
        while time.perf_counter() < deadline:
            status = instance.status(client)
            now, copied = time.perf_counter(), status["totals"]["copied"]
            if status["ready"] and status["counts"].get("documents", 0) >= documents:
                break
            if first is None and copied:
                first = (now, copied)
            time.sleep(COPY_POLL_SECONDS)
        else:
            raise InstanceFailedError(f"the first copy was not complete after {START_SECONDS:.0f} s: {status}")
    if first is None or first[1] >= documents:
        return documents / (now - instance.started)
    return (documents - first[1]) / (now - first[0])


def _announced(path: Path, pid: int) -> dict[str, Any] | None:
    """What the instance says of itself; None until it has written it."""
    try:
        known = dict(json.loads(path.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return known if known["pid"] == pid else None


def _pss_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)

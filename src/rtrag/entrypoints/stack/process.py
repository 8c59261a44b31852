"""Processes that outlive the command: started in a session of their own, found again by pid file, stopped."""

import errno
import json
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack.part import Launch, base_environment

LOG_BYTES = 20_000_000
_POLL_SECONDS = 0.02
_SAME_START = 2.0  # seconds; the start is reckoned from the boot time, which moves when the clock is set


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of a process: its output and its pid."""

    log: Path
    record: Path


def start(launch: Launch, files: Files) -> psutil.Process:
    """Start it with its output to the log, and write the pid file. Raises CommandError."""
    files.log.parent.mkdir(parents=True, exist_ok=True)
    files.record.parent.mkdir(parents=True, exist_ok=True)
    if files.log.exists() and files.log.stat().st_size > LOG_BYTES:
        files.log.replace(files.log.with_suffix(".old.log"))
    account = launch.account
    try:
        with files.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - the commands are our own
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=launch.folder,
                env={**base_environment(), **launch.environment},
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=() if account else None,
            )
    except OSError as exc:
        raise CommandError(f"{launch.command[0]} cannot be started: {exc}.", fix="install it again.") from exc
    process = psutil.Process(child.pid)
    _write(files.record, process)
    child.returncode = 0  # it is to outlive us: without this, Popen complains that nobody has waited for it
    return process


def find(record: Path) -> psutil.Process | None:
    """The process that the pid file names, None if it has ended or the number is another's by now."""
    try:
        noted = json.loads(record.read_text(encoding="utf-8"))
        process = psutil.Process(int(noted["pid"]))
        same = abs(process.create_time() - float(noted["started"])) < _SAME_START
        return process if same and not ended(process) else None
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None


def ended(process: psutil.Process) -> bool:
    """Whether it runs no more; one that nobody has waited for has ended too."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stop(process: psutil.Process, stops: Sequence[tuple[signal.Signals, float]]) -> signal.Signals | None:
    """Send the signals in order until it has ended; the last one that was needed, None if it had ended before.

    Raises CommandError if it lives on.
    """
    used = None
    for signal_number, seconds in stops:
        if ended(process):
            return used
        used = signal_number
        try:
            process.send_signal(signal_number)
        except psutil.NoSuchProcess:
            return used
        except psutil.AccessDenied as exc:
            raise CommandError(
                f"Process {process.pid} belongs to somebody else and cannot be stopped.",
                fix="run this as the user who started it.",
            ) from exc
        _await_end(process, seconds)
    if not ended(process):
        raise CommandError(f"Process {process.pid} does not end.", fix=f"look at it: ps -fp {process.pid}")
    return used


def _await_end(process: psutil.Process, seconds: float) -> None:
    """Not ``Process.wait``, which also waits until somebody has waited for a zombie: an idle init takes its time."""
    deadline = time.monotonic() + seconds
    while not ended(process) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log; none if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 400 * lines))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def listener(host: str, port: int) -> str | None:
    """Who listens on a port: a name and a pid where they can be seen, else ``somebody``; None for nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are nobody
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return _holder(port)
            raise CommandError(f"Port {port} of {host} cannot be used: {exc.strerror}.", fix="--port-offset") from exc
    return None


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()}, process {connection.pid}"
    except psutil.Error:
        return "somebody"
    return "somebody"


def _write(record: Path, process: psutil.Process) -> None:
    noted = {"pid": process.pid, "started": process.create_time()}
    temporary = record.with_suffix(".new")
    temporary.write_text(json.dumps(noted) + "\n", encoding="utf-8")
    temporary.replace(record)

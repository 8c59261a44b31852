"""Running an instance: engine and HTTP server in one loop, one stop signal, closed in order.

The socket is bound before the engine starts, so that a port that is taken costs nothing; requests are accepted only
once the engine can answer them.
"""

import asyncio
import contextlib
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import uvicorn
import uvloop

from rtrag.application.services import Services
from rtrag.bootstrap.instance import open_instance
from rtrag.config import Settings
from rtrag.entrypoints.cli.collector import set_for_server
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.cli.exposure import warn_of_exposure
from rtrag.entrypoints.cli.instance import Instance, remove_instance, write_instance
from rtrag.entrypoints.http.access import LOOPBACK_HOSTS, AccessRules, is_loopback
from rtrag.entrypoints.http.app import HttpOptions, Role, create_app

DRAIN_SECONDS = 10
_BACKLOG = 2048
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where and what to serve; the first port is the one that is told."""

    settings: Settings
    host: str
    ports: tuple[int, ...]
    role: Role = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An instance that answers requests at ``url``."""

    url: str
    services: Services


OnRunning: TypeAlias = Callable[[Running], Coroutine[None, None, None]]


class _Server(uvicorn.Server):
    """Uvicorn's server, told to stop by us: its own handlers would raise the signal again before the engine closes."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(serving: Serving, on_running: OnRunning) -> None:
    """Serve until SIGINT or SIGTERM, then drain and close. ``on_running`` is called once requests are answered.

    Warns if others on the network can call it without a key.

    Raises CommandError if a port is taken, ConfigurationError if the engine cannot start.
    """
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(contextlib.closing(bind(serving.host, port))) for port in serving.ports]
        warn_of_exposure(_address(listening[0]), serving.settings)
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        runner.run(_run(serving, listening, on_running))


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CommandError with the way out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # Bound alone, a second process could bind as well and only one of them would ever be called.
        listening.listen(_BACKLOG)
    except OSError as exc:
        listening.close()
        raise _cannot_listen(exc, host, port) from exc
    listening.set_inheritable(False)
    return listening


async def _run(serving: Serving, listening: list[socket.socket], on_running: OnRunning) -> None:
    with _stop_signal() as stop:
        starting = asyncio.create_task(_serve(serving, listening, on_running, stop), name="instance")
        stopped = asyncio.create_task(stop.wait(), name="stop signal")
        await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await starting


async def _serve(
    serving: Serving,
    listening: list[socket.socket],
    on_running: OnRunning,
    stop: "StopSignal",
) -> None:
    try:
        stop.cancels(asyncio.current_task())
        async with open_instance(serving.settings, serving.role) as services:
            server = _Server(_uvicorn_config(serving, services, listening[0]))
            set_for_server()
            stop.stops(server)
            url = _url(listening[0], serving.host)
            instance = Instance(url=url, postgres_url=services.postgres_url, pid=os.getpid())
            async with _announced(serving.settings, instance):
                await _answer(server, listening, on_running(Running(url=url, services=services)))
    except asyncio.CancelledError:
        if not stop.is_set:
            raise


async def _answer(
    server: uvicorn.Server, listening: list[socket.socket], announcement: Coroutine[None, None, None]
) -> None:
    """Answer requests until told to stop; an announcement that fails stops it as well."""
    announcing = asyncio.create_task(announcement, name="announcement")
    announcing.add_done_callback(lambda task: _stop_if_failed(task, server))
    try:
        await server.serve(sockets=listening)
    finally:
        announcing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await announcing


def _stop_if_failed(task: "asyncio.Task[None]", server: uvicorn.Server) -> None:
    if not task.cancelled() and task.exception() is not None:
        server.should_exit = True


class StopSignal:
    """SIGINT and SIGTERM: the first stops in order, wherever the start is; a second one breaks off the drain."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    def cancels(self, task: "asyncio.Task[None] | None") -> None:
        """From now on a signal cancels the start."""
        self._task = task

    def stops(self, server: uvicorn.Server) -> None:
        """From now on a signal ends the server."""
        self._server = server

    def receive(self, number: int) -> None:
        self._event.set()
        if self._server is not None:
            self._server.handle_exit(number, None)
        elif self._task is not None:
            self._task.cancel()


@contextmanager
def _stop_signal() -> Iterator[StopSignal]:
    loop = asyncio.get_running_loop()
    stop = StopSignal()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.receive, number)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _announced(settings: Settings, instance: Instance) -> AsyncIterator[None]:
    write_instance(settings.data_folder, instance)
    try:
        yield
    finally:
        remove_instance(settings.data_folder, instance.pid)


def _uvicorn_config(serving: Serving, services: Services, listening: socket.socket) -> uvicorn.Config:
    settings = serving.settings
    named = settings.http.allowed_hosts
    hosts = (*LOOPBACK_HOSTS, serving.host, *named) if named or is_loopback(_address(listening)) else None
    options = HttpOptions(
        access=AccessRules(
            api_keys=tuple(key.get_secret_value() for key in settings.http.api_keys),
            allowed_hosts=hosts,
            allowed_origins=settings.http.allowed_origins,
        ),
        max_body_bytes=settings.http.max_request_bytes,
    )
    return uvicorn.Config(
        create_app(services, role=serving.role, options=options),
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


def _address(listening: socket.socket) -> str:
    return str(listening.getsockname()[0])


def _url(listening: socket.socket, host: str) -> str:
    name = _WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{listening.getsockname()[1]}"


def _cannot_listen(error: OSError, host: str, port: int) -> CommandError:
    if error.errno == errno.EADDRINUSE:
        return CommandError(
            f"Port {port} on {host} is taken by another process.",
            fix=f"stop it (`ss -ltnp 'sport = :{port}'` names it), or choose another port with --port, or --port 0 "
            "for any free one.",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return CommandError(f"This user may not listen on port {port}.", fix="choose a port above 1023 with --port.")
    return CommandError(
        f"Cannot listen on {host} port {port}: {error.strerror or error}.",
        fix="correct --host: 127.0.0.1 for this machine alone, 0.0.0.0 for all interfaces.",
    )

"""The API without a running instance: the command opens the data folder itself, for as long as it runs."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rtrag.entrypoints.cli.client import Api, parsed, running_api, with_params
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.output import note, plain

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from fastapi import FastAPI

    from rtrag.application.services import Services
    from rtrag.config import Settings

_READY_SECONDS = 300.0
_AWAY_SECONDS = 10.0
_QUIET_SECONDS = 2.0
_AWAY = "No stream of changes"  # how the engine begins to say that PostgreSQL is away


@contextmanager
def open_api(target: Target, *, make_folder: bool = False) -> Iterator[Api]:
    """The API of the running instance, else of one that this command opens and closes.

    Raises CommandError where there is nothing to open, unless the command may make the data folder.
    """
    api = running_api(target)
    if api is None:
        with open_services(target, make_folder=make_folder) as (portal, services):
            yield _local_api(portal, services)
        return
    try:
        yield api
    finally:
        api.close()


@contextmanager
def open_services(target: Target, *, make_folder: bool = False) -> Iterator[tuple["BlockingPortal", "Services"]]:
    """An instance of this command's own, running in a thread beside it. See ``open_api`` for ``make_folder``."""
    import logging  # noqa: PLC0415 - keeps other commands quick

    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - only without a running instance

    from rtrag.bootstrap.instance import open_instance  # noqa: PLC0415 - loads the whole engine
    from rtrag.entrypoints.cli.logs import configure_logs, tell_problems  # noqa: PLC0415 - with the engine

    configure_logs(logging.ERROR)
    tell_problems(wanted=False)
    settings = settings_of(target)
    if not make_folder and not settings.data_folder.exists():
        raise CommandError(
            f"There is no data folder {settings.data_folder}, and no instance runs on it.",
            fix="start one with `rtrag up`, or name the folder with --data or an instance's address with --url.",
        )
    note(f"No instance runs on {settings.data_folder}; opening it.")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_instance(settings)) as services:
        yield portal, services


def settings_of(target: Target, overrides: Mapping[str, Any] | None = None) -> "Settings":
    """All settings. Raises ConfigurationError with every mistake."""
    from rtrag.config import load_settings  # noqa: PLC0415 - pydantic's settings are slow to import

    merged = dict(overrides or {})
    if target.data is not None:
        merged["data_folder"] = target.data
    return load_settings(target.config_path, os.environ, merged)


def _local_api(portal: "BlockingPortal", services: "Services") -> Api:
    from rtrag.entrypoints.http.app import create_app  # noqa: PLC0415 - heavy

    api = _LocalApi(portal, create_app(services))
    api.wait_until_ready()
    return api


class _LocalApi:
    """The application, called without a socket."""

    def __init__(self, portal: "BlockingPortal", app: "FastAPI") -> None:
        import httpx  # noqa: PLC0415 - heavy

        self._portal = portal
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - nothing can hang between here and the application
    ) -> Any:
        content = None if body is None else json.dumps(body).encode()  # as HttpApi: httpx fails at half surrogate pairs
        headers = {} if body is None else {"Content-Type": "application/json"}

        async def exchange() -> tuple[int, bytes]:
            response = await self._client.request(method, with_params(path, params), content=content, headers=headers)
            return response.status_code, response.content

        status, content = self._portal.call(exchange)
        return parsed(status, content, url="the instance of this command")

    def close(self) -> None:
        self._portal.call(self._client.aclose)

    def wait_until_ready(self) -> None:
        """Until it has caught up with the database, as somebody who asks expects. Raises CommandError."""
        begun = connected = time.monotonic()
        told = ""
        while not (health := self.call("GET", "/health"))["ready"]:
            now, text = time.monotonic(), " ".join(health["problems"])
            away = any(problem.startswith(_AWAY) for problem in health["problems"])
            connected = connected if away else now
            if now - connected > _AWAY_SECONDS:
                raise CommandError(text, fix="start PostgreSQL, or correct POSTGRES_URL; `rtrag doctor` tells more.")
            if now - begun > _READY_SECONDS:
                raise CommandError(
                    f"The index did not become ready in {_READY_SECONDS:.0f} s: {text}",
                    fix="run `rtrag up` and watch it with `rtrag status`.",
                )
            if now - begun > _QUIET_SECONDS and text != told and not away:
                note(plain(text))
                told = text
            time.sleep(0.05)

"""The API without a running instance: the command opens the data folder itself, for as long as it runs."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rtrag.entrypoints.cli.client import Api, parsed, running_api, with_params
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.output import note

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from fastapi import FastAPI

    from rtrag.application.services import Services
    from rtrag.config import Settings

_READY_SECONDS = 300.0


@contextmanager
def open_api(target: Target) -> Iterator[Api]:
    """The API of the running instance, else of one that this command opens and closes."""
    api = running_api(target)
    if api is None:
        with open_services(target) as (portal, services):
            yield _local_api(portal, services)
        return
    try:
        yield api
    finally:
        api.close()


@contextmanager
def open_services(target: Target) -> Iterator[tuple["BlockingPortal", "Services"]]:
    """An instance of this command's own, running in a thread beside it."""
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - only without a running instance

    from rtrag.bootstrap.embedded import open_embedded  # noqa: PLC0415 - loads the whole engine

    settings = settings_of(target)
    note(f"No instance runs on {settings.data_folder}; opening it.")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_embedded(settings)) as services:
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
        async def exchange() -> tuple[int, bytes]:
            response = await self._client.request(method, with_params(path, params), json=body)
            return response.status_code, response.content

        status, content = self._portal.call(exchange)
        return parsed(status, content, url="the instance of this command")

    def close(self) -> None:
        self._portal.call(self._client.aclose)

    def wait_until_ready(self) -> None:
        """Until it has caught up with the database, as somebody who asks expects."""
        deadline = time.monotonic() + _READY_SECONDS
        while not (health := self.call("GET", "/health"))["ready"]:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"The index did not become ready in {_READY_SECONDS:.0f} s: {'; '.join(health['problems'])}",
                    fix="run `rtrag up` and watch it with `rtrag status`.",
                )
            time.sleep(0.05)

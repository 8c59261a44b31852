"""Kafka Connect's REST API: what is needed to run a connector."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx

from rtrag.domain.errors import ConfigurationError, NotFoundError, RtragError, ServiceUnavailableError

RUNNING: Final = "RUNNING"
FAILED: Final = "FAILED"
STOPPED: Final = "STOPPED"
_REBALANCE_PAUSE: Final = 0.5
_REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_URL_FIX: Final = "give the address of Kafka Connect with --url, as http://127.0.0.1:8084."


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A connector or a task of it. ``trace`` is Java's account of a failure, empty without one."""

    name: str
    state: str
    worker: str
    trace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatus:
    """What a connector and its tasks do. A task that is to be started has no entry yet."""

    connector: Part
    tasks: tuple[Part, ...]

    @property
    def running(self) -> bool:
        """Whether the connector runs, and a task, and all of them."""
        return bool(self.tasks) and all(part.state == RUNNING for part in (self.connector, *self.tasks))

    @property
    def failed(self) -> tuple[Part, ...]:
        """Those that have given up."""
        return tuple(part for part in (self.connector, *self.tasks) if part.state == FAILED)


class KafkaConnect:
    """Asks by ``http``, whose base address is Connect's. While it rebalances, requests are repeated for ``patience`` s.

    Every method raises ServiceUnavailableError if Connect does not answer or cannot do it now, ConfigurationError if it
    refuses or something else is at the address. Those about one connector raise NotFoundError if there is none.
    """

    def __init__(self, http: httpx.AsyncClient, *, patience: float = 30.0, pause: float = _REBALANCE_PAUSE) -> None:
        self._http = http
        self._patience = patience
        self._pause = pause

    async def version(self) -> str:
        """Connect's version."""
        found = await self._call("GET", "/")
        if not isinstance(found, dict) or "version" not in found:
            raise self._something_else()
        return str(found["version"])

    async def config(self, name: str) -> Mapping[str, str] | None:
        """The connector's configuration, None if there is no such connector."""
        try:
            found: Mapping[str, str] = await self._call("GET", _path(name, "config"))
        except NotFoundError:
            return None
        return found

    async def put_config(self, name: str, config: Mapping[str, str]) -> None:
        """Make the connector, or give it this configuration. Connect starts its tasks anew."""
        await self._call("PUT", _path(name, "config"), dict(config))

    async def problems(self, name: str, config: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
        """What the connector itself finds wrong in a configuration: messages by setting. It also asks the database."""
        wanted = config.get("connector.class", "")
        known = [str(plugin["class"]) for plugin in await self._call("GET", "/connector-plugins")]
        if wanted not in known:
            raise ConfigurationError(
                f"Kafka Connect has no connector {wanted!r}; it has: {', '.join(known) or 'none'}.",
                fix="put the connector's archive into a folder of the worker's plugin.path and restart it.",
            )
        path = f"/connector-plugins/{quote(wanted.rpartition('.')[2], safe='')}/config/validate"
        found = await self._call("PUT", path, {"name": name, **config})
        values = (entry["value"] for entry in found["configs"])
        return {str(value["name"]): tuple(value["errors"]) for value in values if value["errors"]}

    async def status(self, name: str) -> ConnectorStatus:
        """What it does now, as far as this worker has heard: changes take a moment to get round."""
        found = await self._call("GET", _path(name, "status"))
        tasks = tuple(_part(f"task {task['id']}", task) for task in found["tasks"])
        return ConnectorStatus(connector=_part("connector", found["connector"]), tasks=tasks)

    async def pause(self, name: str) -> None:
        """Let it stand still. PostgreSQL keeps the log meanwhile."""
        await self._call("PUT", _path(name, "pause"))

    async def resume(self, name: str) -> None:
        """Let a paused or stopped one go on."""
        await self._call("PUT", _path(name, "resume"))

    async def restart(self, name: str, *, only_failed: bool) -> None:
        """Start the connector and its tasks anew, or those of them that have failed."""
        params = {"includeTasks": "true", "onlyFailed": "true" if only_failed else "false"}
        await self._call("POST", _path(name, "restart"), params=params)

    async def stop(self, name: str) -> None:
        """Let it stand still without tasks."""
        await self._call("PUT", _path(name, "stop"))

    async def forget_offsets(self, name: str) -> None:
        """Forget how far a stopped connector has come: the next start copies everything."""
        await self._call("DELETE", _path(name, "offsets"))

    async def delete(self, name: str) -> None:
        """Remove it. Its topics, its offsets and PostgreSQL's slot stay."""
        await self._call("DELETE", _path(name))

    async def _call(self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None) -> Any:
        deadline = time.monotonic() + self._patience
        while True:
            response = await self._exchange(method, path, body, params)
            if response.status_code != HTTPStatus.CONFLICT or time.monotonic() >= deadline:
                return self._parsed(response)
            await asyncio.sleep(self._pause)

    async def _exchange(self, method: str, path: str, body: Any, params: Mapping[str, str] | None) -> httpx.Response:
        try:
            return await self._http.request(method, path, json=body, params=params)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ConfigurationError(f"{self._http.base_url} is not an address: {error}.", fix=_URL_FIX) from error
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise ServiceUnavailableError(f"Kafka Connect at {self._http.base_url} did not answer: {said}.") from error

    def _parsed(self, response: httpx.Response) -> Any:
        try:
            value = response.json() if response.content else None
        except ValueError as error:
            raise self._something_else() from error
        if response.is_success:
            return value
        if not isinstance(value, dict) or "message" not in value:
            raise self._something_else()
        raise self._error(response.status_code, str(value["message"]))

    def _error(self, status: int, said: str) -> RtragError:
        if status == HTTPStatus.NOT_FOUND:
            return NotFoundError(said)
        if status == HTTPStatus.CONFLICT:
            return ServiceUnavailableError(
                f"Kafka Connect has been busy for {self._patience:.0f} s, which is its rebalancing mostly: {said}"
            )
        if status in _REFUSED:
            return ConfigurationError(f"Kafka Connect refuses it: {said}", fix="correct the connector's configuration.")
        return ServiceUnavailableError(f"Kafka Connect answered with status {status}: {said}")

    def _something_else(self) -> ConfigurationError:
        return ConfigurationError(f"What answers at {self._http.base_url} is not Kafka Connect.", fix=_URL_FIX)


@asynccontextmanager
async def open_kafka_connect(url: str, *, seconds: float = 30.0) -> AsyncIterator[KafkaConnect]:
    """Connect at an address; ``seconds`` bound one request. Raises ConfigurationError if it is no address."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{url!r} is not an address: {error}.", fix=_URL_FIX) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"{url!r} is not an address.", fix=_URL_FIX)
    # The proxies of the environment are not used: it is this machine mostly.
    async with httpx.AsyncClient(base_url=parsed, timeout=seconds, trust_env=False) as http:
        yield KafkaConnect(http)


def _path(name: str, *rest: str) -> str:
    return "/".join(("/connectors", quote(name, safe=""), *rest))


def _part(name: str, found: Mapping[str, Any]) -> Part:
    return Part(
        name=name,
        state=str(found["state"]),
        worker=str(found.get("worker_id", "")),
        trace=str(found.get("trace") or ""),
    )

"""A small Kafka Connect that answers as the real one was seen to."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from rtrag.adapters.kafka_connect import KafkaConnect

URL = "http://connect.test"
PLUGIN = "io.debezium.connector.postgresql.PostgresConnector"
_STATES = {"PUT/pause": ("PAUSED", "PAUSED"), "PUT/stop": ("STOPPED", "")}


@dataclass(slots=True)
class FakeConnect:
    """Connectors by name, and what to do wrong.

    Attributes:
        configs: configuration by name.
        states: connector's state and its task's by name; without an entry both run.
        traces: of what has failed, by name.
        problems: what the check of a configuration finds, by setting.
        busy: how many of the next requests are answered by 409.
        answers: instead of everything else.
        requests: method and path of all.
    """

    configs: dict[str, dict[str, str]] = field(default_factory=dict)
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    busy: int = 0
    answers: Callable[[httpx.Request], httpx.Response] | None = None
    requests: list[str] = field(default_factory=list)

    def client(self, patience: float = 5.0) -> KafkaConnect:
        """A client for it."""
        http = httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(self._answer))
        return KafkaConnect(http, patience=patience, pause=0.0)

    def changed(self) -> list[str]:
        """The requests that change something."""
        return [request for request in self.requests if not request.startswith("GET") and "validate" not in request]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if self.busy:
            self.busy -= 1
            return error(409, "Cannot complete request momentarily due to stale configuration")
        return self._found(request) if self.answers is None else self.answers(request)

    def _found(self, request: httpx.Request) -> httpx.Response:
        match request.url.path.strip("/").split("/"):
            case [""]:
                return httpx.Response(200, json={"version": "4.3.0", "commit": "a9ce", "kafka_cluster_id": "x"})
            case ["connector-plugins"]:
                return httpx.Response(200, json=[{"class": PLUGIN, "type": "source", "version": "3.6.0.Final"}])
            case ["connector-plugins", "PostgresConnector", "config", "validate"]:
                values = [{"value": {"name": name, "errors": said}} for name, said in self.problems.items()]
                return httpx.Response(200, json={"error_count": len(values), "configs": values})
            case ["connectors", name, *rest]:
                return self._of_one(request, name, "/".join((request.method, *rest)))
        return error(404, "HTTP 404 Not Found")

    def _of_one(self, request: httpx.Request, name: str, action: str) -> httpx.Response:
        if action == "PUT/config":
            made = name not in self.configs
            self.configs[name] = {**json.loads(request.content), "name": name}
            return httpx.Response(201 if made else 200, json={"name": name, "config": self.configs[name]})
        if name not in self.configs:
            return error(404, f"Connector {name} not found")
        if action.startswith("GET"):
            return httpx.Response(200, json=self._status(name) if action == "GET/status" else self.configs[name])
        if action == "DELETE/offsets" and self.states.get(name) != ("STOPPED", ""):
            return error(400, "Connectors must be in the STOPPED state before their offsets can be modified.")
        self._act(request, name, action)
        return httpx.Response(202)

    def _act(self, request: httpx.Request, name: str, action: str) -> None:
        failed = "FAILED" in self.states.get(name, ())
        if action in _STATES:
            self.states[name] = _STATES[action]
        elif action == "PUT/resume" or (
            action == "POST/restart" and (failed or "onlyFailed=false" in str(request.url))
        ):
            self.states.pop(name, None)
        elif action == "DELETE":
            del self.configs[name]

    def _status(self, name: str) -> dict[str, Any]:
        connector, task = self.states.get(name, ("RUNNING", "RUNNING"))
        worker = {"worker_id": "127.0.0.1:8083"}
        trace = {"trace": self.traces[name]} if name in self.traces else {}
        tasks = [{"id": 0, "state": task, **worker, **(trace if task == "FAILED" else {})}] if task else []
        return {"name": name, "connector": {"state": connector, **worker}, "tasks": tasks, "type": "source"}


def error(status: int, message: str) -> httpx.Response:
    """An answer as Connect gives errors."""
    return httpx.Response(status, json={"error_code": status, "message": message})

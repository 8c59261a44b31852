"""Our own services: the update and the query service, or one process for both where there is no Qdrant server."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx

from rtrag.entrypoints.stack.layout import HOST, Stack
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part
from rtrag.entrypoints.stack.postgres import postgres_url

CONFIGURATION = "docker/rtrag.toml"
_ADVICE = "the log says why; `rtrag stack status` shows what it needs"
_STOPS = ((signal.SIGTERM, 45.0), (signal.SIGKILL, 10.0))


def service_parts(stack: Stack) -> tuple[Part, ...]:
    """Two services over a Qdrant server, else both in one process, which then has the index to itself."""
    if stack.qdrant_url is None:
        title = "Update and query service in one process, with the index in it for want of QDRANT_URL,"
        return (_part(stack, "services", title, "all", ("query-service", "update-service")),)
    return (
        _part(stack, "update-service", "Update service", "update", ("update-service",)),
        _part(stack, "query-service", "Query service", "query", ("query-service",)),
    )


def environment(stack: Stack, name: str) -> dict[str, str]:
    """What a service is told; settings of the caller's own (RTRAG_..., OPENAI_API_KEY) go before."""
    own = {key: value for key, value in os.environ.items() if key.startswith("RTRAG_") or key == "OPENAI_API_KEY"}
    found = {
        "RTRAG_CONFIG": str(stack.configuration(CONFIGURATION)),
        **own,
        "RTRAG_DATA_FOLDER": str(stack.folder(name)),
        "POSTGRES_URL": postgres_url(stack),
        "KAFKA_BOOTSTRAP_SERVERS": stack.address("kafka"),
        "REDIS_URL": f"redis://{stack.address('redis')}/0",
    }
    return found if stack.qdrant_url is None else {**found, "QDRANT_URL": stack.qdrant_url}


def _part(stack: Stack, name: str, title: str, role: str, listens: tuple[str, ...]) -> Part:
    ports = tuple(stack.port(each) for each in listens)
    program = str(Path(sys.executable).with_name("rtrag"))
    options = [option for port in ports for option in ("--port", str(port))]
    return Part(
        name=name,
        title=title,
        ports=ports,
        prepare=lambda: Launch(
            command=(program, "serve", role, "--host", HOST, *options),
            folder=stack.folder(name),
            environment=environment(stack, name),
        ),
        check=lambda: _check(ports[0]),
        start_seconds=90.0,
        stops=_STOPS,
        advice=_ADVICE,
    )


def _check(port: int) -> str:
    """Healthy is who answers; whether it is ready, which takes a connector, is its word on itself."""
    try:
        answer = httpx.get(f"http://{HOST}:{port}/health", timeout=5.0, trust_env=False)
        found: dict[str, Any] = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as exc:
        raise NotHealthyError(str(exc)) from exc
    return "ready" if found["ready"] else f"not ready yet: {' '.join(found['problems'])}"

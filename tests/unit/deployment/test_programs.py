"""The small programs that run inside the containers."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from unit.deployment.compose import ROOT, mounts, services

TOOL = ROOT / "docker/kafka/bin/kafka-tool"


class Answering(BaseHTTPRequestHandler):
    """200 to the paths that the server has, else 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in self.server.paths else 503)  # type: ignore[attr-defined]  # set below
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*paths: str) -> Iterator[int]:
    """A server on this machine that answers these paths; its port."""
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        server.paths = paths  # type: ignore[attr-defined]  # the handler asks for them
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def health_of(port: int) -> int:
    return subprocess.run((sys.executable, ROOT / "scripts/healthcheck.py", str(port)), check=False).returncode


@pytest.mark.parametrize(("paths", "code"), [(["/health"], 0), (["/ready"], 1)])
def test_a_service_is_healthy_if_its_health_answers(paths: list[str], code: int) -> None:
    with serving(*paths) as port:
        assert health_of(port) == code


def test_a_service_that_does_not_listen_is_not_healthy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert health_of(taken.getsockname()[1]) == 1


@pytest.mark.skipif(shutil.which("bash") is None, reason="the check is one for bash")
@pytest.mark.parametrize(("paths", "healthy"), [(["/readyz"], True), (["/healthz"], False)])
def test_qdrant_is_healthy_if_it_says_that_it_is_ready(paths: list[str], healthy: bool) -> None:
    kind, *command = services()["qdrant"]["healthcheck"]["test"]
    assert kind == "CMD"
    with serving(*paths) as port:
        here = [word.replace("/6333", f"/{port}") for word in command]
        assert (subprocess.run(here, check=False).returncode == 0) == healthy


@pytest.mark.parametrize("name", ["kafka-configs", "kafka-console-consumer", "kafka-consumer-groups", "kafka-topics"])
def test_kafkas_tools_are_found_without_the_ending_and_run_without_the_brokers_options(
    name: str, tmp_path: Path
) -> None:
    assert (f"./{TOOL.relative_to(ROOT)}", f"/usr/local/bin/{name}", True) in list(mounts(services()["kafka"]))
    original = tmp_path / "bin" / f"{name}.sh"
    original.parent.mkdir()
    original.write_text('#!/bin/sh\necho "${KAFKA_HEAP_OPTS-none} ${KAFKA_LOG4J_OPTS-none} ${KAFKA_OPTS-none} $*"\n')
    original.chmod(0o755)
    called = tmp_path / name
    called.symlink_to(TOOL)
    options = {key: "the broker's" for key in services()["kafka"]["environment"] if key.startswith("KAFKA_")}
    environment = {**os.environ, **options, "KAFKA_HOME": str(tmp_path)}
    said = subprocess.run((called, "--group", "a b"), env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "none none none --group a b\n"

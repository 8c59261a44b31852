"""Redis (or Valkey) as a cache: nothing on disk."""

import socket

from rtrag.entrypoints.stack.layout import HOST, Stack
from rtrag.entrypoints.stack.packages import require_program
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part


def redis_part(stack: Stack) -> Part:
    """Redis."""
    return Part(
        name="redis",
        title="Redis",
        ports=(stack.port("redis"),),
        prepare=lambda: _prepare(stack),
        check=lambda: _check(stack),
        start_seconds=20.0,
    )


def _prepare(stack: Stack) -> Launch:
    folder = stack.folder("redis")
    given = {"bind": HOST, "port": str(stack.port("redis")), "protected-mode": "yes", "dir": str(folder)}
    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    configuration = str(stack.configuration("docker/redis/redis.conf"))
    return Launch(command=(str(require_program("redis-server")), configuration, *options), folder=folder)


def _check(stack: Stack) -> str:
    """Its protocol has a plain form; no client package is needed to ask."""
    try:
        with socket.create_connection((HOST, stack.port("redis")), timeout=3.0) as connection:
            connection.sendall(b"INFO server\r\nQUIT\r\n")
            answer = connection.makefile("rb").read().decode("utf-8", "replace")
    except OSError as exc:
        raise NotHealthyError(str(exc)) from exc
    for line in answer.splitlines():
        name, _, value = line.partition(":")
        if name == "redis_version":
            return value
    raise NotHealthyError(f"it answered: {answer[:100] or 'nothing'}")

"""An HTTP server on loopback that answers every request as told, in place of a Qdrant server that is in trouble."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer; with ``silent`` none ever comes."""

    status: int = 200
    body: str = '{"status":{"error":"because"}}'
    headers: tuple[str, ...] = ()
    silent: bool = False


@dataclass(slots=True)
class HttpServer:
    """Where it listens, and the first lines of the requests that came, each with its key."""

    url: str
    requests: list[str] = field(default_factory=list)


@asynccontextmanager
async def http_server(reply: Reply) -> AsyncIterator[HttpServer]:
    """Serve until the block ends."""
    answering: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        try:
            served.requests.append(_summary((await reader.readuntil(b"\r\n\r\n")).decode()))
            if reply.silent:
                await reader.read()  # until the client has had enough
            else:
                writer.write(_answer(reply))
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    served = HttpServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield served
    await asyncio.gather(*(task for task in answering if task is not None))


def _summary(head: str) -> str:
    first, *headers = head.split("\r\n")
    return " ".join((first, *(line for line in headers if line.lower().startswith("api-key:"))))


def _answer(reply: Reply) -> bytes:
    lines = (f"HTTP/1.1 {reply.status} Reason", f"Content-Length: {len(reply.body)}", *reply.headers)
    return "\r\n".join((*lines, "Connection: close", "", reply.body)).encode()

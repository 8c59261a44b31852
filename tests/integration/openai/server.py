"""A server on loopback that speaks OpenAI's wire format, with answers by script."""

import base64
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from openai import AsyncOpenAI

from rtrag.testing.embedding import HashEmbedder

Json: TypeAlias = dict[str, Any]
Reply: TypeAlias = Callable[[Json], Response]
KEY = "key-of-the-test"


def error(status: int, message: str, *, headers: Mapping[str, str] | None = None, **fields: str) -> Reply:
    """An answer with an error in OpenAI's form."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": None, **fields}}
    return lambda _: JSONResponse(body, status, headers)


@dataclass(slots=True)
class Script:
    """What the server does: ``replies`` first, one a request, then its usual behaviour.

    Attributes:
        requests: the bodies of all requests, in order.
        poison: an embedding request with a text that contains it is refused.
        dimensions: length of the vectors that it makes.
        content: what a chat completion says; cut into pieces of ``piece`` characters when streamed.
        refused_formats: kinds of ``response_format`` that are refused.
    """

    replies: list[Reply] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    poison: str | None = None
    dimensions: int = 16
    content: str = ""
    piece: int = 5
    finish: str | None = "stop"
    refused_formats: frozenset[str] = frozenset()


class FakeOpenAI:
    """The running server and its script."""

    def __init__(self, port: int, script: Script) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.script = script
        self._clients: list[AsyncOpenAI] = []

    def client(self, timeout: float = 10.0, key: str = KEY, url: str | None = None) -> AsyncOpenAI:
        """A client for this server, closed by ``close``."""
        client = AsyncOpenAI(api_key=key, base_url=url or self.url, timeout=timeout, max_retries=0)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Close the clients that were made."""
        while self._clients:
            await self._clients.pop().close()


@contextmanager
def running() -> Iterator[FakeOpenAI]:
    """Run the server in a thread."""
    script = Script()
    server = uvicorn.Server(uvicorn.Config(_app(script), port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, name="fake-openai")
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield FakeOpenAI(server.servers[0].sockets[0].getsockname()[1], script)
    finally:
        server.should_exit = True
        thread.join()


def _app(script: Script) -> FastAPI:
    app = FastAPI()

    async def answer(request: Request, usual: Reply) -> Response:
        body: Json = await request.json()
        script.requests.append(body)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return error(401, "Incorrect API key provided", code="invalid_api_key")(body)
        return (script.replies.pop(0) if script.replies else usual)(body)

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        return await answer(request, lambda body: _embeddings(script, body))

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        return await answer(request, lambda body: _completion(script, body))

    return app


def _embeddings(script: Script, body: Json) -> Response:
    if script.poison is not None and any(script.poison in text for text in body["input"]):
        return error(400, "This model's maximum context length is 8192 tokens", code="context_length_exceeded")(body)
    if not all(body["input"]) or not body["input"]:
        return error(400, "'$.input' is invalid", param="input")(body)
    embedder = HashEmbedder(dimensions=script.dimensions)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(list(embedder.vector(text)), body)}
        for index, text in enumerate(body["input"])
    ]
    data.reverse()  # the index counts, not the order
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": usage})


def _encoded(vector: list[float], body: Json) -> list[float] | str:
    if body.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _completion(script: Script, body: Json) -> Response:
    kind = body.get("response_format", {}).get("type")
    if kind in script.refused_formats:
        return error(400, f"response_format {kind} is not supported", param="response_format")(body)
    if body.get("stream"):
        return StreamingResponse(_events(script), media_type="text/event-stream")
    message = {"role": "assistant", "content": script.content, "refusal": None}
    choice = {"index": 0, "finish_reason": script.finish, "message": message, "logprobs": None}
    return JSONResponse(_envelope("chat.completion", [choice]))


def _events(script: Script) -> Iterator[str]:
    pieces = [script.content[start : start + script.piece] for start in range(0, len(script.content), script.piece)]
    for piece in pieces:
        yield event([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
    if script.finish is not None:
        yield event([{"index": 0, "delta": {}, "finish_reason": script.finish}])
        yield "data: [DONE]\n\n"


def event(choices: list[Json]) -> str:
    """One server-sent event of a stream."""
    return f"data: {json.dumps(_envelope('chat.completion.chunk', choices))}\n\n"


def _envelope(kind: str, choices: list[Json]) -> Json:
    return {"id": "c1", "object": kind, "created": 1, "model": "test-model", "choices": choices}

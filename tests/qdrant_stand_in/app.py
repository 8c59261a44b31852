"""The HTTP layer: one request at a time, answered in a server's envelope."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contract.qdrant_engine import EngineClient
from qdrant_stand_in.answers import ANSWERS, Answer, RefusedError


def create_app(folder: Path) -> Starlette:
    """The application over the engine in a folder, which is closed in order at the end."""
    turn = asyncio.Lock()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.engine = EngineClient(folder)
        yield
        async with turn:
            await app.state.engine.close()

    def route(method: str, path: str, answer: Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            async with turn:  # nothing comes between the operations of a request, as on the one shard of a server
                return await _answered(answer(request.app.state.engine, request.path_params.get("name", ""), body))

        return Route(path, endpoint, methods=[method])

    async def version(request: Request) -> Response:
        return _json((await request.app.state.engine.info()).model_dump())

    return Starlette(
        routes=[Route("/", version), *(route(*place, answer) for place, answer in ANSWERS.items())], lifespan=lifespan
    )


async def _answered(work: Awaitable[object]) -> Response:
    started = time.monotonic()
    code, result = 200, None
    said: str | dict[str, str] = "ok"
    try:
        result = await work
    except RefusedError as error:
        code, said = error.status, {"error": str(error)}
    except ValidationError as error:
        code, said = 400, {"error": f"Format error in JSON body: {error}"}
    except (NotImplementedError, TypeError, ValueError) as error:
        code, said = 400, {"error": f"Wrong input: {error}"}
    return _json({"result": result, "status": said, "time": time.monotonic() - started}, code)


def _json(body: dict[str, Any], code: int = 200) -> Response:
    return Response(to_json(body), code, media_type="application/json")

"""What surrounds every request: an id, the last boundary for errors, and the limit on sizes. Plain ASGI."""

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rtrag.entrypoints.http.problems import INTERNAL, TOO_LARGE, internal_problem, problem_response

REQUEST_ID_HEADER = "X-Request-ID"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_log = logging.getLogger(__name__)


class RequestBoundary:
    """Gives each request an id, taken from ``X-Request-ID`` or made, and answers for errors nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else secrets.token_hex(8)
        scope["rtrag.request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:  # the boundary of one request: logged, and answered if still possible
            _log.exception("request_failed request_id=%s path=%r", request_id, scope["path"])
            if started:
                raise
            response = problem_response(INTERNAL, internal_problem(request_id).detail, request_id)
            await response(scope, receive, send_with_id)


class BodyLimit:
    """Refuses bodies above a number of bytes, by their header at once and otherwise while they are read."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limit:
            response = problem_response(TOO_LARGE, self._detail(), str(scope.get("rtrag.request_id", "")))
            await response(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise HTTPException(TOO_LARGE.status, self._detail())
            return message

        await self._app(scope, counted, send)

    def _detail(self) -> str:
        return (
            f"A request may have {self._limit:,} bytes at most; send less at a time, "
            "or raise the limit in the configuration of the server."
        )

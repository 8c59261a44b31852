"""Who may call: host names, origins of web pages, content types, API keys. Plain ASGI.

The server usually listens on the loopback interface without a key, so every web page in the user's browser can send
it requests. Three checks keep pages from changing, reading or even costing anything: the ``Host`` must be one of ours
(a page that rebinds its own name to 127.0.0.1 brings its own), a request must not come from a page of another origin
(but for following a link to one of the open pages), and a body must be declared as JSON (a form cannot do that, and a
script cannot without a preflight that is not answered).
"""

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rtrag.entrypoints.http.discretion import MAY_KNOW
from rtrag.entrypoints.http.docs_page import ASSETS
from rtrag.entrypoints.http.problems import (
    FOREIGN_HOST,
    FOREIGN_ORIGIN,
    NOT_JSON,
    UNAUTHORIZED,
    Kind,
    problem_response,
    request_id_of,
)

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS = frozenset({"/", "/health", "/ready", "/docs", "/openapi.json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """Who may call.

    Attributes:
        api_keys: one of these is needed, but for ``/health``, ``/ready`` and the documentation; empty means open.
        allowed_hosts: names the ``Host`` header may have, without port, besides addresses, which nobody can rebind: a
            scraper that found us by DNS sends one. None means any.
        allowed_origins: origins of web pages that may call, as ``https://example.org``, besides the server's own.
    """

    api_keys: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] | None = None
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Refusal:
    kind: Kind
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


class AccessControl:
    """Lets through what the rules allow and answers the rest with a problem."""

    def __init__(self, app: ASGIApp, *, rules: AccessRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            scope[MAY_KNOW] = partial(self._may_know, scope, headers)  # few requests ask
            await self._app(scope, receive, send)
            return
        response = problem_response(refusal.kind, refusal.detail, request_id_of(scope), headers=dict(refusal.headers))
        await response(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> _Refusal | None:
        is_open = scope["path"] in _OPEN_PATHS or scope["path"].startswith(f"{ASSETS}/")
        is_read = scope["method"] in _SAFE_METHODS
        checks = [_host_refusal(headers, self._rules.allowed_hosts)]
        if not (is_open and is_read and _is_visit(headers)):
            checks.append(_origin_refusal(headers, scope["scheme"], self._rules.allowed_origins))
        if not is_read:
            checks.append(_type_refusal(headers))
        if self._rules.api_keys and not is_open:
            checks.append(_key_refusal(headers, self._rules.api_keys))
        return next((found for found in checks if found is not None), None)

    def _may_know(self, scope: Scope, headers: Headers) -> bool:
        if self._rules.api_keys:
            return _key_refusal(headers, self._rules.api_keys) is None
        forwarded = "forwarded" in headers or "x-forwarded-for" in headers  # then only the proxy is on this machine
        client = scope.get("client")
        return client is not None and is_loopback(client[0]) and not forwarded


def is_loopback(address: str) -> bool:
    """Whether an IP address is one of this machine's own; False for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _host_refusal(headers: Headers, allowed: Sequence[str] | None) -> _Refusal | None:
    if allowed is None:
        return None
    name = _host_name(headers.get("host", ""))
    if name in {host.lower() for host in allowed} or _is_address(name):
        return None
    return _Refusal(
        FOREIGN_HOST,
        f"This server does not answer to the host name {name!r}. Call it as {allowed[0]}, or add the name to the "
        "allowed hosts in its configuration.",
    )


def _origin_refusal(headers: Headers, scheme: str, allowed: Sequence[str]) -> _Refusal | None:
    origin = headers.get("origin")
    own = f"{scheme}://{headers.get('host', '')}"
    if origin is None:
        if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
            return None
    elif origin == own or origin in allowed:
        return None
    return _Refusal(
        FOREIGN_ORIGIN,
        f"A web page of {origin or 'another site'} may not do this. If it should call, add its origin to the allowed "
        "origins in the configuration of the server; links may lead to /docs alone.",
    )


def _is_visit(headers: Headers) -> bool:
    """Whether somebody follows a link, or enters an address, in a window of a browser."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _type_refusal(headers: Headers) -> _Refusal | None:
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        return None
    return _Refusal(
        NOT_JSON, f"The body must be JSON, sent with 'Content-Type: application/json'; it was {media_type or 'none'!r}."
    )


def _key_refusal(headers: Headers, api_keys: Sequence[str]) -> _Refusal | None:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
    sent = given.encode("latin-1")  # the bytes that came: headers are decoded as Latin-1
    # Every key is compared, so that the time taken says nothing.
    matches = [hmac.compare_digest(sent, key.encode()) for key in api_keys]
    if any(matches):
        return None
    return _Refusal(
        UNAUTHORIZED,
        "Send one of the server's API keys as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
        (("WWW-Authenticate", "Bearer"),),
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host_name(host: str) -> str:
    """``localhost`` of ``LOCALHOST.:8000``, ``::1`` of ``[::1]:8000``; empty if it is no host."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""

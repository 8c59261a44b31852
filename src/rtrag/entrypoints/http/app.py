"""The HTTP application: routes of a role, errors as problem details, who may call and how much."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware

from rtrag.application.services import Services
from rtrag.entrypoints.http import admin_api, health_api, query_api, update_api
from rtrag.entrypoints.http.access import AccessControl, AccessRules
from rtrag.entrypoints.http.docs_page import add_docs_page
from rtrag.entrypoints.http.metrics import QueryMetrics
from rtrag.entrypoints.http.middleware import REQUEST_ID_HEADER, BodyLimit, RequestBoundary
from rtrag.entrypoints.http.problems import Problem, add_problem_handlers
from rtrag.entrypoints.http.schemas import QueryIn
from rtrag.entrypoints.http.wiring import TOKEN_HEADER

Role: TypeAlias = Literal["query", "update", "all"]

_DESCRIPTION = """\
Cited answers from PostgreSQL documents, true as of the last commit.

* Ask with `POST /query`. Every answer says what it rests on (`citations`, `sources`) and what it reflects (`as_of`).
* Change documents here or in SQL. Every write returns a `token`; a query that carries it as `min_position`, or in the
  header `X-Freshness-Token`, reflects that write or says with 503 that it could not in the time allowed.
* Every error is a problem detail (RFC 9457): `type` for programs, `detail` for people, `request_id` for the log.
"""
_TAGS = [
    {"name": "query", "description": "Asking questions."},
    {"name": "documents", "description": "Reading and writing documents."},
    {"name": "pipeline", "description": "Watching the pipeline, and comparing tables and index."},
    {"name": "dead letters", "description": "Changes that could not be processed."},
    {"name": "health", "description": "For probes and monitoring."},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How the HTTP services behave. ``max_body_bytes`` bounds every request."""

    access: AccessRules = field(default_factory=AccessRules)
    max_body_bytes: int = 10_000_000


class _Api(FastAPI):
    """FastAPI with one schema for every error instead of its own."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title,
                version=self.version,
                description=self.description,
                tags=_TAGS,
                routes=self.routes,
            )
            self.openapi_schema = _tidied(schema)
        return self.openapi_schema


def create_app(services: Services, *, role: Role = "all", options: HttpOptions | None = None) -> FastAPI:
    """The application over a running instance; ``query`` and ``update`` show only that service's paths."""
    chosen = options or HttpOptions()
    app = _Api(
        title="Real-Time RAG",
        version=health_api.package_version(),
        description=_DESCRIPTION,
        docs_url=None,  # the framework's own pages load their scripts from a public host
        redoc_url=None,
    )
    app.state.services = services
    app.state.role = role
    app.state.query_metrics = QueryMetrics()
    app.state.logged_problems = set()
    if role != "update":
        app.include_router(query_api.router)
        app.include_router(health_api.metrics_router("/metrics"))
    if role != "query":
        app.include_router(update_api.router)
        app.include_router(admin_api.router)
        app.include_router(health_api.metrics_router("/api/metrics"))
    app.include_router(health_api.router)
    add_docs_page(app)
    add_problem_handlers(app)
    _add_middleware(app, chosen)
    return app


def _add_middleware(app: FastAPI, options: HttpOptions) -> None:
    """The last one added is the outermost."""
    app.add_middleware(BodyLimit, limit=options.max_body_bytes)
    app.add_middleware(AccessControl, rules=options.access)
    if options.access.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.access.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "X-API-Key", TOKEN_HEADER, REQUEST_ID_HEADER],
            expose_headers=["ETag", "Location", "Retry-After", TOKEN_HEADER, REQUEST_ID_HEADER],
        )
    app.add_middleware(RequestBoundary)


def _tidied(schema: dict[str, Any]) -> dict[str, Any]:
    """Add what is described by hand, and replace the framework's own validation error by our problem."""
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    by_hand: list[type[BaseModel]] = [Problem, QueryIn] if "/query" in schema["paths"] else [Problem]
    for model in by_hand:
        described = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(described.pop("$defs", {}))
        schemas[model.__name__] = described
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            if "422" in operation["responses"]:
                operation["responses"]["422"] = {"description": "The request is not valid.", "content": content}
    return schema

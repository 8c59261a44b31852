"""The page ``/docs``: Swagger UI, with script and style from an installed package, so that it needs no other host."""

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

DOCS = "/docs"
ASSETS = f"{DOCS}/assets"
_PACKAGE = ("fastapi_swagger", "resources")  # only its files are used, none of its code is imported


def add_docs_page(app: FastAPI) -> None:
    """Serve the page and its files. Addresses are relative: right also behind a proxy that adds a prefix."""
    app.add_api_route(DOCS, _page, include_in_schema=False, response_class=Response)
    app.mount(ASSETS, StaticFiles(packages=[_PACKAGE]), name="docs assets")


async def _page() -> Response:
    """The API, to read and to try."""
    assets = ASSETS.removeprefix("/")
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Real-Time RAG",
        swagger_js_url=f"{assets}/swagger-ui-bundle.js",
        swagger_css_url=f"{assets}/swagger-ui.css",
        swagger_favicon_url=f"{assets}/favicon-32x32.png",
        swagger_ui_parameters={"validatorUrl": None},  # else it may send the description to a public validator
    )

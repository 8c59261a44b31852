"""The page /docs needs nothing but the server itself."""

import re
from urllib.parse import urljoin

import httpx


async def test_the_docs_page_refers_to_no_other_host(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert "//" not in re.sub("<!--.*?-->", "", page), "an address with a host, or a comment that could hide one"
    assert '"validatorUrl": null' in page


async def test_everything_that_the_docs_page_loads_is_here(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    addresses = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page)
    paths = [urljoin("/docs", first or second) for first, second in addresses]
    assert "/openapi.json" in paths
    types = {path: (await client.get(path)).headers["content-type"].partition(";")[0] for path in paths}
    assert sorted(types.values()) == ["application/json", "image/png", "text/css", "text/javascript"], types


async def test_a_file_of_the_docs_page_that_is_not_there_is_a_problem(client: httpx.AsyncClient) -> None:
    for path in ("/docs/assets/none.js", "/docs/assets/..%2f__init__.py", "/docs/oauth2-redirect", "/redoc"):
        response = await client.get(path)
        assert (response.status_code, response.json()["type"]) == (404, "urn:rtrag:problem:no-such-path")

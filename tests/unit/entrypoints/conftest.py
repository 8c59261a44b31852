"""An application over fake services, and a client that calls it without a socket."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from rtrag.domain.document import DocumentKey, StoredDocument
from rtrag.entrypoints.http.access import AccessRules
from rtrag.entrypoints.http.app import HttpOptions, Role, create_app
from rtrag.testing.services import fake_services
from rtrag.testing.state import FakeState

BASE = "http://localhost:8000"
ClientFactory = Callable[..., httpx.AsyncClient]


@pytest.fixture
def state() -> FakeState:
    """Two documents, one of them with a path as its id."""
    state = FakeState()
    for name, title, content, team in (
        ("doc-1", "Sessions", "Sessions are kept for 30 days.", "platform"),
        ("docs/a.md", "Backups", "Backups run every night.", "storage"),
    ):
        key = DocumentKey("public.documents", (name,))
        state.rows[key] = StoredDocument(
            key=key,
            title=title,
            content=content,
            metadata={"team": team, "size": len(content)},
            version=1,
            created_at=None,
            updated_at=None,
        )
    return state


@pytest.fixture
def client_for(state: FakeState) -> ClientFactory:
    """A client of an application with these options."""

    def make(
        *, role: Role = "all", max_body_bytes: int = 100_000, address: str = "127.0.0.1", **rules: tuple[str, ...]
    ) -> httpx.AsyncClient:
        rules.setdefault("allowed_hosts", ("localhost", "127.0.0.1", "::1"))
        options = HttpOptions(access=AccessRules(**rules), max_body_bytes=max_body_bytes)
        app = create_app(fake_services(state), role=role, options=options)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 50_000)), base_url=BASE)

    return make


@pytest.fixture
async def client(client_for: ClientFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application as it is by default."""
    async with client_for() as client:
        yield client

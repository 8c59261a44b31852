"""One update service and one query service over a place of their own."""

import os
from collections.abc import Iterator

import pytest
from benchmarks.stack import Stack as Addresses

from integration.services.place import Place, place_at
from integration.services.service import Service
from qdrant_stand_in.process import running_stand_in


@pytest.fixture(scope="package")
def place(stack_addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The index is on the server that ``QDRANT_URL`` names; where it names none, on a stand-in of the place's own."""
    folder = tmp_path_factory.mktemp("services")
    if named := os.environ.get("QDRANT_URL"):
        with place_at(stack_addresses, named, None, folder) as place:
            yield place
        return
    with (
        running_stand_in(folder / "qdrant") as stand_in,
        place_at(stack_addresses, stand_in.url, stand_in, folder) as place,
    ):
        yield place


@pytest.fixture(scope="package")
def update(place: Place) -> Iterator[Service]:
    """The update service, which has read everything."""
    with place.service("update") as service:
        service.await_ready()
        yield service


@pytest.fixture(scope="package")
def query(place: Place, update: Service) -> Iterator[Service]:
    """The query service, which follows what the update service indexes."""
    with place.service("query") as service:
        service.await_ready()
        yield service

"""The compose files are valid, and every service has what a service in operation needs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtrag.entrypoints.stack.layout import PORTS
from unit.deployment.compose import (
    BASE,
    DEVELOPMENT,
    OURS,
    ROOT,
    SHAPES,
    ZOOKEEPER,
    compose,
    mounts,
    ports,
    services,
)

PROMISED = {
    "postgres": (5434, 5432),
    "kafka": (9094, 9092),
    "debezium": (8084, 8083),
    "qdrant": (6335, 6333),
    "redis": (6381, 6379),
    "update-service": (8002, 8001),
    "query-service": (8003, 8000),
    "prometheus": (9091, 9090),
    "grafana": (3002, 3000),
}
EVERY = [pytest.param(shape, name, id=f"{shape[-1]}-{name}") for shape in SHAPES for name in services(*shape)]
each_service = pytest.mark.parametrize(("shape", "name"), EVERY)


def complaints(*paths: Path) -> str:
    """What the schema of the compose specification has against the files; empty if nothing."""
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *map(str, paths))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_each_file_fits_the_compose_specification() -> None:
    assert not complaints(*(ROOT / name for name in (BASE, ZOOKEEPER, DEVELOPMENT)))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape[-1]))
def test_an_override_laid_over_the_base_fits_it_too(shape: tuple[str, ...], tmp_path: Path) -> None:
    merged = tmp_path / "merged.json"
    merged.write_text(json.dumps(compose(*shape)))
    assert not complaints(merged)


def test_a_misspelt_key_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"services": {"a": {"image": "a:1", "heathcheck": {}}}}))
    assert "heathcheck" in complaints(wrong)


@each_service
def test_every_service_is_checked_restarted_limited_and_keeps_its_log_short(shape: tuple[str, ...], name: str) -> None:
    service = services(*shape)[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["healthcheck"].keys() >= {"interval", "timeout", "retries"}
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@each_service
def test_no_service_may_gain_privileges_and_all_but_postgres_have_none(shape: tuple[str, ...], name: str) -> None:
    service = services(*shape)[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid"}
    assert service.get("cap_drop") == (None if name == "postgres" else ["ALL"])


@pytest.mark.parametrize("name", OURS)
def test_our_services_write_to_memory_alone(name: str) -> None:
    service = services()[name]
    assert (service["read_only"], service["init"]) == (True, True)
    assert not [what for what, _, read_only in mounts(service) if not read_only]


@each_service
def test_every_version_is_pinned(shape: tuple[str, ...], name: str) -> None:
    service = services(*shape)[name]
    if name in OURS:
        assert service["build"] == "."
        assert "image" not in service
    else:
        assert re.fullmatch(r"[a-z0-9./]+:v?\d+(\.\d+){1,2}(\.Final|-bookworm)?", service["image"])


@each_service
def test_a_service_waits_for_services_that_exist(shape: tuple[str, ...], name: str) -> None:
    found = services(*shape)
    for other, waiting in found[name].get("depends_on", {}).items():
        assert other in found
        assert waiting["condition"] in {"service_healthy", "service_started"}


def test_everything_starts_by_itself_and_can_be_scaled() -> None:
    for service in services().values():
        assert not service.keys() & {"profiles", "container_name", "scale"}
    assert {"update-service", "query-service"} <= services().keys()


def published(found: dict[str, dict[str, Any]]) -> dict[str, tuple[int, int]]:
    return {name: (int(outside), inside) for name, service in found.items() for _, outside, inside in ports(service)}


def test_the_ports_are_those_of_the_outer_contract() -> None:
    assert published(services()) == PROMISED
    assert published(services(BASE, ZOOKEEPER)) == {**PROMISED, "zookeeper": (2182, 2181)}
    assert published(services(BASE, DEVELOPMENT)) == PROMISED


def test_the_ports_outside_are_those_of_the_native_stack() -> None:
    native = {"debezium" if name == "connect" else name: port for name, port in PORTS.items()}
    outside = {name: port for name, (port, _) in published(services(BASE, ZOOKEEPER)).items()}
    assert {name: port for name, port in native.items() if name != "kafka-controller"}.items() <= outside.items()


@pytest.mark.parametrize("environ", [{}, {"BIND_ADDRESS": "192.0.2.1"}])
def test_ports_are_published_on_loopback_unless_another_address_is_given(environ: dict[str, str]) -> None:
    found = services(BASE, ZOOKEEPER, environ=environ)
    addresses = {address for service in found.values() for address, _, _ in ports(service)}
    assert addresses == {environ.get("BIND_ADDRESS", "127.0.0.1")}


def test_several_replicas_take_their_ports_from_a_range() -> None:
    found = services(environ={"UPDATE_SERVICE_PORT": "8010-8012", "QUERY_SERVICE_PORT": "8020-8021"})
    assert ports(found["update-service"]) == [("127.0.0.1", "8010-8012", 8001)]
    assert ports(found["query-service"]) == [("127.0.0.1", "8020-8021", 8000)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape[-1]))
def test_what_is_mounted_exists(shape: tuple[str, ...]) -> None:
    whole = compose(*shape)
    found = [mount for service in whole["services"].values() for mount in mounts(service)]
    files = {what for what, _, read_only in found if what.startswith("./") and read_only}
    volumes = {what for what, _, read_only in found if not what.startswith("./") and not read_only}
    assert len(found) == sum((what in files) + (what in volumes) for what, _, _ in found)
    assert not [what for what in files if not (ROOT / what).exists()]
    assert volumes <= whole["volumes"].keys()


def test_what_a_service_must_not_lose_is_in_a_volume_of_its_own() -> None:
    kept = {name: [what for what, _, read_only in mounts(service) if not read_only] for name, service in all_services()}
    assert {name: volumes for name, volumes in kept.items() if volumes} == {
        "postgres": ["postgres-data"],
        "kafka": ["kafka-zookeeper-data"],  # a folder of one kind of broker is refused by the other
        "zookeeper": ["zookeeper-data"],
        "qdrant": ["qdrant-data"],
        "prometheus": ["prometheus-data"],
        "grafana": ["grafana-data"],
    }
    assert [what for what, _, read_only in mounts(services()["kafka"]) if not read_only] == ["kafka-data"]


def all_services() -> list[tuple[str, dict[str, Any]]]:
    return list(services(BASE, ZOOKEEPER).items())

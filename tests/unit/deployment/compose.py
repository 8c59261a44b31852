"""Compose files as Compose reads them: variables filled in, an override laid over the base."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
BASE, ZOOKEEPER, DEVELOPMENT = "docker-compose.yml", "docker-compose.zookeeper.yml", "docker-compose.dev.yml"
SHAPES = ((BASE,), (BASE, ZOOKEEPER), (BASE, DEVELOPMENT))
OURS = ("update-service", "query-service")

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::-(?P<default>[^{}]*))?\})")
_REPLACED = ("command", "entrypoint", "test")  # other lists of an override are added to those of the base


def text_of(path: str) -> str:
    """A file of the checkout."""
    return (ROOT / path).read_text(encoding="utf-8")


def compose(*names: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What Compose makes of the files, each laid over the one before."""
    merged: dict[str, Any] = {}
    for name in names or (BASE,):
        merged = _merge(merged, _filled(read_yaml(name), environ or {}))
    return merged


def services(*names: str, environ: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """The services of these files, by name."""
    found: dict[str, dict[str, Any]] = compose(*names, environ=environ)["services"]
    return found


@cache
def read_yaml(name: str) -> Any:
    """A file of the checkout, as it is written. Not to be changed: it is read once."""
    return YAML(typ="safe", pure=True).load(text_of(name))


def ports(service: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Address, outside and inside port of what a service publishes."""
    published = [str(port).rsplit(":", 2) for port in service.get("ports", ())]
    return [(address, outside, int(inside)) for address, outside, inside in published]


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """What is mounted (a named volume, or a path that begins with ./), where, and whether it can only be read."""
    for volume in service.get("volumes", ()):
        what, where, *mode = str(volume).split(":")
        yield what, where, mode == ["ro"]


def mounted(service: Mapping[str, Any], where: str) -> str:
    """What a service finds at a path."""
    return {target: what for what, target, _ in mounts(service)}[where]


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda found: "$" if found["dollar"] else environ.get(found["name"], found["default"]), value)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        standing = merged.get(key)
        if isinstance(standing, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(standing, value)
        elif key == "volumes" and isinstance(standing, list):
            merged[key] = list({str(item).split(":")[1]: item for item in (*standing, *value)}.values())
        elif isinstance(standing, list) and key not in _REPLACED:
            merged[key] = [*standing, *value]
        else:
            merged[key] = value
    return merged

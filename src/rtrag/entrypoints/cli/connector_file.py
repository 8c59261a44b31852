"""The connector's configuration as a file, with changes laid over it, and what differs from the one that runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtrag.entrypoints.cli.errors import USAGE, CommandError

USUAL_FILE = Path("debezium/connector-config.json")
USUAL_NAME = "rag-documents"
_SECRET = ("password", "secret", "jaas", "credential")
_PREFIX = "topic.prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """A connector as it is wanted."""

    name: str
    config: Mapping[str, str]


def read_connector(path: Path, name: str | None, changes: Sequence[str]) -> Connector:
    """The connector of a file: as it is posted to Kafka Connect, with its name, or the configuration alone.

    ``changes`` are ``key=value``, without a value to leave the key out. Raises CommandError.
    """
    found = _read(path)
    wrapped = isinstance(found.get("config"), dict)
    config = dict(found["config"] if wrapped else found)
    own_name = found.get("name") if wrapped else config.pop("name", None)
    for key, value in map(_split, changes):
        if value:
            config[key] = value
        else:
            config.pop(key, None)
    if odd := sorted(key for key, value in config.items() if not isinstance(value, str)):
        raise CommandError(
            f"{path}: Kafka Connect takes texts alone, and these are none: {', '.join(odd)}.",
            fix='write numbers and truth values in quotes: "12", "true".',
            code=USAGE,
        )
    if "connector.class" not in config:
        raise CommandError(
            f"{path} holds no configuration of a connector: connector.class is missing.",
            fix='give a file as {"name": ..., "config": {...}}, or the configuration alone.',
            code=USAGE,
        )
    return Connector(name=name or str(own_name or USUAL_NAME), config=config)


def differences(old: Mapping[str, str] | None, new: Mapping[str, str]) -> list[str]:
    """What changes, a line each; secrets are not shown. ``old`` None means that there is nothing yet: no lines."""
    if old is None:
        return []
    before = {key: value for key, value in old.items() if key != "name"}  # Connect adds it by itself
    return [line for key in sorted(before.keys() | new.keys()) for line in _difference(key, before, new)]


def doubts(old: Mapping[str, str] | None, new: Mapping[str, str]) -> Iterator[str]:
    """What is allowed and probably not meant."""
    prefix = new.get(_PREFIX, "")
    if not prefix.rpartition(".")[2].isdecimal() or "." not in prefix:
        yield f"topic.prefix {prefix!r} does not end in a number as rag.1 does; it is the epoch of all positions."
    if old is None:
        return
    former = old.get(_PREFIX, "")
    if former != prefix:
        yield f"topic.prefix was {former!r}: all rows are copied once more, into new topics."
        for key, value in sorted(new.items()):
            if key != _PREFIX and value.startswith(f"{former}."):
                yield f"{key} is still {value!r}; probably it should begin with {prefix!r}."
    elif old.get("slot.name") != new.get("slot.name"):
        yield (
            "slot.name changed and topic.prefix did not: Debezium refuses a slot that lacks what it has not "
            f"read yet. Raise the number at the end of topic.prefix ({prefix!r}), which copies all rows once more."
        )


def _difference(key: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    if key not in old:
        yield f"+ {key} = {_shown(key, new[key])}"
    elif key not in new:
        yield f"- {key} = {_shown(key, old[key])}"
    elif old[key] != new[key]:
        yield f"~ {key}: {_shown(key, old[key])} -> {_shown(key, new[key])}"


def _shown(key: str, value: str) -> str:
    return "(not shown)" if any(word in key.lower() for word in _SECRET) else value


def _split(change: str) -> tuple[str, str]:
    key, equals, value = change.partition("=")
    if not key.strip() or not equals:
        raise CommandError(f"--set {change!r} is no key=value.", fix="as --set slot.name=rag", code=USAGE)
    return key.strip(), value


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else f"it is not JSON: {error}"
        raise CommandError(f"{path} cannot be read: {said}.", fix="name the file with --file.", code=USAGE) from error
    if not isinstance(found, dict):
        raise CommandError(f"{path} is not a JSON object.", fix="name the connector's file with --file.", code=USAGE)
    return found

"""Saying what is wrong with settings: where it was set, under which name, and which valid name is nearest."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rtrag.config.models import ENV_DELIMITER, ENV_PREFIX, Settings
from rtrag.config.names import (
    CONFIG_NAME,
    TEST_PREFIX,
    WELL_KNOWN,
    file_paths,
    models_in,
    nearest,
    settings_catalogue,
    unions,
)

SECRET = frozenset({"postgres_url", "openai_api_key", "redis_url", "api_keys"})
SHOWN_CHARACTERS = 60
_SECTION = "a section with settings is wanted"
_WANTED: Mapping[str, str] = {  # where validation speaks of Python's types
    "tuple_type": "a list is wanted",
    "path_type": "a path is wanted",
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
}


def unknown_names(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable with our prefix that is not a setting; whole sections may be given as JSON."""
    settings = {setting.env_name for setting in settings_catalogue()}
    sections = {ENV_PREFIX + path.replace(".", ENV_DELIMITER).upper() for path in file_paths() if "." not in path}
    valid = (settings | sections | {CONFIG_NAME}) - {ENV_PREFIX + path.upper() for path in WELL_KNOWN.values()}
    for name in sorted(environ):
        if not name.upper().startswith(ENV_PREFIX) or name.startswith(TEST_PREFIX) or name in valid:
            continue
        well_known = name.upper().removeprefix(ENV_PREFIX)
        suggestion = well_known if well_known in WELL_KNOWN else nearest(name.upper(), valid)
        yield f"{name}: there is no such setting{_did_you_mean(suggestion)}"


def not_json(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each list or section in the environment that is not JSON."""
    lists = {setting.env_name for setting in settings_catalogue() if isinstance(setting.default, tuple)}
    sections = {ENV_PREFIX + name.upper() for name, field in Settings.model_fields.items() if models_in(field)}
    for name in sorted((lists | sections) & environ.keys()):
        try:
            json.loads(environ[name])
        except ValueError as exc:
            yield f"{name}: not valid JSON ({exc})"


def describe(
    error: ValidationError, environ: Mapping[str, str], config_path: Path | None, merged: Mapping[str, Any]
) -> Iterator[str]:
    """A line for each mistake that validation found, unless ``unknown_names`` has named it already."""
    details = error.errors()
    for detail in details:
        if detail["type"] == "too_short" and any(_inside(other["loc"], detail["loc"]) for other in details):
            continue  # a list that looks empty because its elements are wrong
        location = _without_tags(detail["loc"])
        dotted = ".".join(str(part) for part in location if not isinstance(part, int))
        if detail["type"] == "extra_forbidden":
            if _variable_name(dotted) in environ and dotted not in file_paths():
                continue
            message = _unknown_key(dotted, merged)
        elif detail["type"] == "union_tag_invalid":
            message = _unknown_kind(dotted, detail)
            location, dotted = (*location, "kind"), f"{dotted}.kind"
        else:
            message = _wrong_value(dotted, detail)
        yield f"{_place(location, _variable(dotted, environ), config_path)}{message}"


def _inside(location: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def _without_tags(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Validation puts the kind of a union between the section and its field, and marks the members of others."""
    section = location[0] if location else ""
    kinds = unions().get(str(section), {})
    if len(location) > 1 and location[1] in kinds:
        location = (location[0], *location[2:])
    return location[: location.index("value") + 1] if "value" in location else location


def _variable(dotted: str, environ: Mapping[str, str]) -> str | None:
    """The variable that set this, or a section that contains it."""
    for name, path in WELL_KNOWN.items():
        if path == dotted:
            return name if environ.get(name) else None
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        name = _variable_name(".".join(parts[:length]))
        if environ.get(name):
            return name
    return None


def _variable_name(dotted: str) -> str:
    return ENV_PREFIX + dotted.replace(".", ENV_DELIMITER).upper()


def _place(location: tuple[int | str, ...], set_by: str | None, config_path: Path | None) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    if set_by is not None:
        whole = set_by in WELL_KNOWN or set_by == _variable_name(path)
        return f"{set_by}: " if whole else f"{set_by} ({path}): "
    if not path:
        return ""
    return f"{config_path}: {path}: " if config_path is not None else f"{path}: "


def _unknown_key(dotted: str, merged: Mapping[str, Any]) -> str:
    section, _, name = dotted.partition(".")
    kinds = unions().get(section, {})
    owners = [kind for kind, model in kinds.items() if name in model.model_fields]
    if owners:
        value = merged.get(section)
        chosen = value.get("kind") if isinstance(value, Mapping) else None
        chosen = chosen or next(iter(kinds))
        return f"belongs to {section}.kind = {owners[0]!r}, and the kind is {chosen!r}"
    suggestion = nearest(dotted, file_paths())
    parent = dotted.rpartition(".")[0]
    if suggestion and suggestion.rpartition(".")[0] == parent:
        suggestion = suggestion.rpartition(".")[2]
    return f"there is no such setting{_did_you_mean(suggestion)}"


def _unknown_kind(section: str, detail: ErrorDetails) -> str:
    kinds = list(unions()[section])
    given = str(detail.get("ctx", {}).get("tag", ""))
    return f"{given!r} is not one of {', '.join(kinds)}{_did_you_mean(nearest(given, kinds))}"


def _wrong_value(dotted: str, detail: ErrorDetails) -> str:
    if dotted.endswith("row_filter.value"):
        return "a text, a number, true or false is wanted, or a list of them for the operator `in`"
    message = _WANTED.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    value = detail["input"]
    secret = any(part in SECRET for part in dotted.split("."))
    shown = isinstance(value, str | int | float | bool) and not secret and dotted
    text = repr(value)
    text = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
    return message + (f" (it is {text})" if shown else "")


def _did_you_mean(suggestion: str | None) -> str:
    return f"; did you mean {suggestion}?" if suggestion else ""

"""The valid names of settings, in the environment and in the file, derived from the models."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rtrag.config.models import ENV_DELIMITER, ENV_PREFIX, Settings

WELL_KNOWN: Mapping[str, str] = {
    "POSTGRES_URL": "postgres_url",
    "OPENAI_API_KEY": "openai_api_key",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka_bootstrap_servers",
    "QDRANT_URL": "qdrant_url",
    "REDIS_URL": "redis_url",
}
CONFIG_NAME = "RTRAG_CONFIG"  # names the file itself
TEST_PREFIX = "RTRAG_TEST_"  # left to tests and benchmarks


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that is not a section. ``path`` is its name in the file, dotted; ``kind`` the union member it is of."""

    path: str
    default: Any
    description: str
    kind: str | None = None

    @property
    def env_name(self) -> str:
        """Its name in the environment."""
        for name, path in WELL_KNOWN.items():
            if path == self.path:
                return name
        return ENV_PREFIX + self.path.replace(".", ENV_DELIMITER).upper()


def settings_catalogue() -> tuple[Setting, ...]:
    """Every setting that has a name in the environment, in the order of the models."""
    return tuple(_walk(Settings, ""))


def file_paths() -> frozenset[str]:
    """Every name that may stand in the file, sections and the fields inside lists included."""
    return frozenset(_all_paths(Settings, ""))


def nearest(wanted: str, valid: Iterable[str]) -> str | None:
    """The valid name that is most like the wanted one, None if none is near."""
    found = difflib.get_close_matches(wanted, list(valid), n=1, cutoff=0.6)
    return found[0] if found else None


def unions() -> Mapping[str, Mapping[str, type[BaseModel]]]:
    """Sections of which several kinds exist: section -> kind -> model."""
    return {
        name: {model.model_fields["kind"].default: model for model in members}
        for name, field in Settings.model_fields.items()
        if len(members := models_in(field)) > 1 and "kind" in members[0].model_fields
    }


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        members = models_in(field)
        path = f"{prefix}{name}"
        if not members or isinstance(field.default, tuple):
            default = None if field.default is PydanticUndefined else field.default
            yield Setting(path=path, default=default, description=field.description or "")
        elif len(members) == 1:
            yield from _walk(members[0], f"{path}.")
        else:
            yield from _walk_union(members, f"{path}.")


def _walk_union(members: tuple[type[BaseModel], ...], prefix: str) -> Iterator[Setting]:
    seen: set[str] = set()
    for member in members:
        kind = member.model_fields["kind"].default
        for setting in _walk(member, prefix):
            if setting.path in seen:
                continue
            seen.add(setting.path)
            own = None if setting.path == f"{prefix}kind" else kind
            yield Setting(path=setting.path, default=setting.default, description=setting.description, kind=own)


def _all_paths(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield path
        for member in models_in(field):
            yield from _all_paths(member, f"{path}.")


def models_in(field: FieldInfo) -> tuple[type[BaseModel], ...]:
    """The models in a field's type, looking into unions, tuples and annotations."""

    def search(annotation: Any) -> Iterator[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for argument in get_args(annotation):
            yield from search(argument)

    return tuple(dict.fromkeys(search(field.annotation)))

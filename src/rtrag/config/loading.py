"""Reading the settings: overrides over environment over file over defaults. All mistakes are reported at once."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from rtrag.config import problems
from rtrag.config.models import ENV_PREFIX, Settings
from rtrag.config.names import CONFIG_NAME, TEST_PREFIX, WELL_KNOWN
from rtrag.domain.errors import ConfigurationError

DEFAULT_FILE = Path("rtrag.toml")


def load_settings(
    config_path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings from what is given here and nothing else.

    Args:
        config_path: a TOML file, which must exist if given; None reads no file (``find_config`` finds the usual one).
        environ: the environment.
        overrides: nested, as in the file; what the command line sets.

    Raises ConfigurationError that lists every unknown name, with the nearest valid one, and every wrong value.
    """
    found = [*problems.unknown_names(environ)]
    from_file = _read_file(config_path) if config_path is not None else {}
    try:
        merged = merge(merge(from_file, _Environment(environ)()), overrides or {})
    except SettingsError as exc:
        raise _wrong([*found, *(list(problems.not_json(environ)) or [str(exc)])]) from exc
    try:
        settings = Settings(**merged)
    except ValidationError as exc:
        raise _wrong([*found, *problems.describe(exc, environ, config_path, merged)]) from exc
    if found:
        raise _wrong(found)
    return settings


def find_config(environ: Mapping[str, str], folder: Path) -> Path | None:
    """The file that ``RTRAG_CONFIG`` names, else ``rtrag.toml`` in the folder if there is one, else None."""
    if named := environ.get(CONFIG_NAME):
        return Path(named)
    default = folder / DEFAULT_FILE
    return default if default.exists() else None


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Sections are merged key by key; one of another kind replaces the section below it whole."""
    merged = dict(below)
    for key, value in above.items():
        standing = merged.get(key)
        if isinstance(standing, Mapping) and isinstance(value, Mapping):
            other_kind = "kind" in value and "kind" in standing and value["kind"] != standing["kind"]
            merged[key] = dict(value) if other_kind else merge(standing, value)
        else:
            merged[key] = value
    return merged


def _wrong(found: Sequence[str]) -> ConfigurationError:
    lines = list(dict.fromkeys(found))
    count = "A setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    listed = "\n".join(f"  {line}" for line in lines)
    return ConfigurationError(
        f"{count} wrong:\n{listed}\n", fix="correct what is listed above; .env.example shows every name."
    )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(
            f"The configuration file {path} cannot be read: {exc.strerror}.",
            fix=f"create it, or correct --config or {CONFIG_NAME}.",
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(
            f"The configuration file {path} is not UTF-8: {exc}.", fix="save it as UTF-8."
        ) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(
            f"The configuration file {path} is not valid TOML: {exc}.", fix="correct it at that line."
        ) from exc


class _Environment(EnvSettingsSource):
    """The environment that is passed in, the well-known names under their names in the models."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        names = {name: (ENV_PREFIX + path).lower() for name, path in WELL_KNOWN.items()}
        well_known = {names[name]: value for name, value in self._environ.items() if name in names and value}
        ours = {
            name.lower(): value
            for name, value in self._environ.items()
            if name.startswith(ENV_PREFIX) and not name.startswith(TEST_PREFIX) and name != CONFIG_NAME and value
        }
        for hidden in names.values():
            ours.pop(hidden, None)
        return {**ours, **well_known}

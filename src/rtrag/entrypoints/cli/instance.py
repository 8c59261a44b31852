"""The running instance of a data folder: ``instance.json`` says where it listens, while it runs."""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtrag.entrypoints.cli.errors import USAGE, CommandError

DEFAULT_FOLDER = Path(".rtrag")
_FILE = "instance.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Where a running instance listens. ``postgres_url`` may hold a password: the file is its owner's alone."""

    url: str
    postgres_url: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the options before a command say: which configuration, which data folder, which instance."""

    config: Path | None = None
    data: Path | None = None
    url: str | None = None
    api_key: str | None = None

    @property
    def config_path(self) -> Path | None:
        """The configuration file that is read: the one given, ``RTRAG_CONFIG``, or ``rtrag.toml`` here."""
        if self.config is not None:
            return self.config
        named = os.environ.get("RTRAG_CONFIG")
        usual = Path("rtrag.toml")
        return Path(named) if named else usual if usual.exists() else None

    @property
    def folder(self) -> Path:
        """The data folder, found without reading all settings: that would double the time of a quick command.

        Settings that are wrong are reported when an instance starts.
        """
        if self.data is not None:
            return self.data
        if named := os.environ.get("RTRAG_DATA_FOLDER"):
            return Path(named)
        return Path(str(self._from_file().get("data_folder", DEFAULT_FOLDER)))

    @property
    def key(self) -> str | None:
        """The API key to send: the one given, else the first one configured."""
        if self.api_key:
            return self.api_key
        try:
            keys = json.loads(os.environ.get("RTRAG_HTTP__API_KEYS") or "null")
        except ValueError:
            keys = None
        if keys is None:
            section = self._from_file().get("http")
            keys = section.get("api_keys") if isinstance(section, Mapping) else None
        return str(keys[0]) if isinstance(keys, list) and keys else None

    def _from_file(self) -> Mapping[str, Any]:
        path = self.config_path
        if path is None:
            return {}
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            said = exc.strerror if isinstance(exc, OSError) else exc
            raise CommandError(
                f"The configuration file {path} cannot be read: {said}.", fix="correct it, or --config.", code=USAGE
            ) from exc


def read_instance(folder: Path) -> Instance | None:
    """What the file says, None if there is none or it is half written."""
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return Instance(url=str(found["url"]), postgres_url=str(found["postgres_url"]), pid=int(found["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_instance(folder: Path, instance: Instance) -> None:
    """Say where the instance listens, readable by its owner alone. Raises CommandError."""
    temporary = folder / f"{_FILE}.{instance.pid}"
    try:
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(instance), file)
        temporary.replace(folder / _FILE)
    except OSError as exc:
        raise CommandError(
            f"{folder / _FILE}, which says where this instance listens, cannot be written: {exc.strerror}.",
            fix="let this user write to that folder, and free space on its disk.",
        ) from exc


def remove_instance(folder: Path, pid: int) -> None:
    """Take back what this process wrote; another's is left alone."""
    found = read_instance(folder)
    if found is not None and found.pid == pid:
        (folder / _FILE).unlink(missing_ok=True)

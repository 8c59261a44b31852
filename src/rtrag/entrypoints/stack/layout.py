"""Where things are: the checkout with the configuration files, the data folder, and the ports."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtrag.entrypoints.cli.errors import USAGE, CommandError

DEFAULT_FOLDER = Path(".rtrag-stack")
HOST = "127.0.0.1"
PORTS: Mapping[str, int] = {
    "postgres": 5434,
    "redis": 6381,
    "prometheus": 9091,
    "zookeeper": 2182,
    "kafka": 9094,
    "kafka-controller": 9095,
    "connect": 8084,
    "update-service": 8002,
    "query-service": 8003,
}
LARGEST_OFFSET = 65535 - max(PORTS.values())
_FILE = "stack.json"
_MARK = Path("docker/kafka/server.properties")  # what a checkout has and an installed package has not


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One stack: its shape and its folders (absolute).

    ``services`` when our own run in it as well, over the Qdrant server at ``qdrant_url`` if there is one.
    """

    root: Path
    data: Path
    port_offset: int = 0
    zookeeper: bool = False
    services: bool = False
    qdrant_url: str | None = None

    def port(self, name: str) -> int:
        """The port of a part on this machine."""
        return PORTS[name] + self.port_offset

    def address(self, name: str) -> str:
        """``host:port`` of a part."""
        return f"{HOST}:{self.port(name)}"

    def folder(self, name: str) -> Path:
        """The folder of a part, made if it is missing."""
        folder = self.data / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        """What a part writes to its output."""
        return self.data / "logs" / f"{name}.log"

    def record(self, name: str) -> Path:
        """The pid file of a part."""
        return self.data / "run" / f"{name}.json"

    def java(self, name: str) -> Path:
        """The folder of the jars that ``stack/NAME/pom.xml`` lists."""
        return self.data / "java" / name

    def configuration(self, path: str) -> Path:
        """A configuration file of the checkout. Raises CommandError if it is not there."""
        found = self.root / path
        if not found.is_file():
            raise CommandError(
                f"{found} is missing.",
                fix="check the repository out again, or name its folder with --root.",
                code=USAGE,
            )
        return found


def find_root(given: Path | None, start: Path) -> Path:
    """The checkout: the folder given, else ``start`` or one above it, else the one this code lies in."""
    candidates = (given,) if given is not None else (start, *start.parents, *Path(__file__).resolve().parents)
    for candidate in candidates:
        if (candidate / _MARK).is_file():
            return candidate.resolve()
    raise CommandError(
        f"The configuration files of the stack ({_MARK} and the like) are not {'in ' if given else 'above '}"
        f"{given or start}.",
        fix="run this in a checkout of the repository, or name its folder with --root.",
        code=USAGE,
    )


def remember(stack: Stack) -> None:
    """Write the stack's shape into its folder, so that later commands need no options."""
    stack.data.mkdir(parents=True, exist_ok=True)
    shape = {
        "root": str(stack.root),
        "port_offset": stack.port_offset,
        "zookeeper": stack.zookeeper,
        "services": stack.services,
        "qdrant_url": stack.qdrant_url,
    }
    temporary = stack.data / f"{_FILE}.new"
    temporary.write_text(json.dumps(shape, indent=2) + "\n", encoding="utf-8")
    temporary.replace(stack.data / _FILE)


def remembered(data: Path) -> Stack | None:
    """The stack of a folder, None if there is none yet. Raises CommandError if what is there cannot be read."""
    path = data / _FILE
    try:
        shape = json.loads(path.read_text(encoding="utf-8"))
        return Stack(
            root=Path(shape["root"]),
            data=data.resolve(),
            port_offset=int(shape["port_offset"]),
            zookeeper=bool(shape["zookeeper"]),
            services=bool(shape.get("services", False)),
            qdrant_url=shape.get("qdrant_url"),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CommandError(f"{path} cannot be read: {exc}.", fix="remove that file; the data is not in it.") from exc

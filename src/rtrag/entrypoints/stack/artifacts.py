"""Jars by Maven: what ``stack/NAME/pom.xml`` lists, with checksums, from the user's repository or the registry."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack.layout import Stack
from rtrag.entrypoints.stack.packages import require_program
from rtrag.entrypoints.stack.process import tail

_GOALS = {
    "kafka": "dependency:copy-dependencies",
    "zookeeper": "dependency:copy-dependencies",
    "debezium": "dependency:unpack",
}
_STAMP = ".stamp"


def needed(stack: Stack) -> tuple[str, ...]:
    """The poms of a stack. Kafka Connect always runs from ``kafka``."""
    return ("kafka", "debezium", "zookeeper") if stack.zookeeper else ("kafka", "debezium")


def version(root: Path, name: str) -> str:
    """The version that a pom pins: that of Kafka, or of Debezium. Raises CommandError."""
    found = re.search(r"<(?:kafka|debezium)\.version>([^<]+)<", (root / "stack" / name / "pom.xml").read_text())
    if found is None:
        raise CommandError(f"{root}/stack/{name}/pom.xml names no version.", fix="check the file out again.")
    return found[1]


def fetch(stack: Stack, working: Callable[[str], AbstractContextManager[object]]) -> list[str]:
    """Bring the jars that are missing or whose pom has changed; their names. Raises CommandError."""
    fetched = []
    for name in needed(stack):
        pom = stack.configuration(f"stack/{name}/pom.xml")
        stamp = hashlib.sha256(pom.read_bytes()).hexdigest()
        folder = stack.java(name)
        if not _is_current(folder, stamp):
            with working(f"Fetching {name} {version(stack.root, name)} by Maven"):
                _fetch(stack, pom, folder, _GOALS[name])
            (folder / _STAMP).write_text(stamp)
            fetched.append(name)
    return fetched


def _is_current(folder: Path, stamp: str) -> bool:
    try:
        return (folder / _STAMP).read_text() == stamp
    except FileNotFoundError:
        return False


def _fetch(stack: Stack, pom: Path, folder: Path, goal: str) -> None:
    """Into a folder beside, then renamed: a fetch that is cut off leaves nothing half made."""
    fresh = folder.with_name(f"{folder.name}.new")
    for old in (fresh, folder):
        shutil.rmtree(old, ignore_errors=True)
    log = stack.log("maven")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = (
        str(require_program("mvn")),
        "-B",
        "-ntp",
        "-C",
        "-Dstyle.color=never",
        "-f",
        str(pom),
        goal,
        f"-Dstack.folder={fresh}",
    )
    with log.open("ab") as output:
        done = subprocess.run(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode or not fresh.is_dir():
        said = "\n".join(line for line in tail(log, 60) if "ERROR" in line)
        raise CommandError(
            f"Maven could not fetch what {pom} lists:\n{said}",
            fix=f"see {log}; the network and ~/.m2/settings.xml (mirrors, proxies) are the usual causes.",
        )
    fresh.rename(folder)

"""The programs that Debian packages bring, and installing the packages that are missing."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtrag.entrypoints.cli.errors import CommandError

OLDEST_POSTGRES = 15
OLDEST_JAVA = 17
PACKAGES: Mapping[str, str] = {
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "prometheus": "prometheus",
    "java": "default-jre-headless",
    "mvn": "maven",
}
_USUAL = ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin")  # servers lie where a user's path does not lead
_POSTGRES = Path("/usr/lib/postgresql")
# Debian starts the services of a package as it installs it, on the usual ports, Prometheus on every address. A
# policy-rc.d that says 101 keeps them from starting; one that is there already is left alone.
_INSTALL = """
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends "$@" ||
    { apt-get update && apt-get install -y --no-install-recommends "$@"; }
"""


def find_program(name: str) -> Path | None:
    """Where a program is, None if it is missing or too old."""
    match name:
        case "postgres":
            return find_postgres()
        case "redis-server":
            found = _which("redis-server") or _which("valkey-server")
        case "java":
            found = _java()
        case _:
            found = _which(name)
    return Path(found) if found else None


def require_program(name: str) -> Path:
    """Where a program is. Raises CommandError if it is missing."""
    found = find_program(name)
    if found is None:
        raise CommandError(f"There is no {name} on this machine.", fix=f"install the package {PACKAGES[name]}.")
    return found


def find_postgres(version: str | None = None) -> Path | None:
    """``postgres`` of the version given, else of the newest there is. Its neighbours are initdb and psql."""
    versions = [version] if version else sorted((p.name for p in _POSTGRES.glob("[0-9]*")), key=int, reverse=True)
    for number in versions:
        program = _POSTGRES / number / "bin" / "postgres"
        if int(number) >= OLDEST_POSTGRES and program.exists():
            return program
    found = _which("postgres")
    return Path(found).resolve() if found and version is None else None


def missing_packages() -> list[str]:
    """The packages whose programs are not there."""
    return [package for program, package in PACKAGES.items() if find_program(program) is None]


def install(packages: Sequence[str], log: Path) -> None:
    """Install Debian packages, their own services not started. The output goes to ``log``. Raises CommandError."""
    by_hand = f"sudo apt-get install --no-install-recommends {' '.join(packages)}"
    prefix = _as_root()
    if prefix is None or shutil.which("apt-get") is None:
        raise CommandError(
            f"These packages are missing: {', '.join(packages)}.",
            fix=f"{by_hand} (on other systems: PostgreSQL {OLDEST_POSTGRES}+, Redis 7 or Valkey, Prometheus, Java "
            f"{OLDEST_JAVA}+, Maven on the path).",
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        done = subprocess.run(  # noqa: S603 - the script is our own, the names are those above
            (*prefix, "/bin/sh", "-c", _INSTALL, "sh", *packages),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    still = [package for package in packages if package in missing_packages()]
    if done.returncode or still:
        raise CommandError(f"Installing {', '.join(packages)} failed; see {log}.", fix=f"{by_hand}, then try again.")


def _which(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_USUAL)))


def _as_root() -> tuple[str, ...] | None:
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    allowed = subprocess.run((sudo, "-n", "true"), capture_output=True, check=False)  # noqa: S603 - as above
    return (sudo, "-n") if allowed.returncode == 0 else None


def _java() -> str | None:
    """Java by JAVA_HOME, else on the path, if it is new enough."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else _which("java")
    if found is None or not Path(found).exists():
        return None
    said = subprocess.run((found, "-version"), capture_output=True, text=True, check=False)  # noqa: S603 - as above
    version = re.search(r'version "(\d+)', said.stderr)
    return found if version and int(version[1]) >= OLDEST_JAVA else None

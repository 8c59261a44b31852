"""One process at a time in a data folder, by a lock that the operating system drops when the holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtrag.domain.errors import ConfigurationError

LOCK_FILE = "lock"


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold ``folder`` (made if missing) for as long as the context lasts.

    Raises ConfigurationError if another process holds it, or if it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise ConfigurationError(
            f"The data folder {folder} cannot be used: {exc.strerror}.",
            fix="choose a folder that this user may write to, on a disk with free space.",
        ) from exc
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise ConfigurationError(
            f"The data folder {folder} is in use by another process (pid {holder}).",
            fix="stop that process, talk to it over HTTP, or choose another data folder.",
        ) from exc
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

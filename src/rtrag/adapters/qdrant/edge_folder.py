"""The folder of an embedded index on disk.

index.json      what the index was made for; written first, so a folder without it is not ours
CURRENT         name of the folder that holds the chunk points, replaced atomically
chunks-<hex>/   an Edge shard: chunk points with their vectors
records/        an Edge shard: manifests, tables, sources; apart, because points without vectors take up room
                in the vector storage and double the time of a search
closed          there only after an orderly close
lock            held by the one process that has the index open
"""

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError

_LAYOUT: Final = 1
_CHUNKS_PREFIX: Final = "chunks-"


class EdgeFolder:
    """Names, pointer and marker files of an index folder. Use it only while the lock is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = path / "records"
        self._description = path / "index.json"
        self._current = path / "CURRENT"
        self._closed = path / "closed"

    def prepare(self, description: Mapping[str, Any]) -> bool:
        """Check or write the description; true if the index exists already.

        Raises ConfigurationError when the folder holds something else, was made with other settings, or cannot be
        written.
        """
        wanted = {"layout": _LAYOUT, **description}
        with _usable(self.path):
            if not self._description.exists():
                self._refuse_foreign()
                write_durably(self._description, json.dumps(wanted, indent=2, sort_keys=True))
            self._compare(wanted)
            exists = self._current.exists()
            self._remove_leftovers(keep=self.current() if exists else None)
        return exists

    def current(self) -> Path:
        """The folder of the chunk points."""
        return self.path / self._current.read_text(encoding="utf-8").strip()

    def new_chunks(self) -> Path:
        """An empty folder for a fresh set of chunk points."""
        folder = self.path / f"{_CHUNKS_PREFIX}{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        return folder

    def switch_to(self, chunks: Path) -> None:
        """Make these the current chunk points, atomically and durably."""
        write_durably(self._current, chunks.name)

    def mark_open(self) -> bool:
        """Note that the index is in use; true if the last use ended with a close. Raises ConfigurationError."""
        with _usable(self.path):
            clean = self._closed.exists()
            self._closed.unlink(missing_ok=True)
            sync_folder(self.path)
        return clean

    def mark_closed(self) -> None:
        """Note an orderly close."""
        write_durably(self._closed, "")

    def require_free(self, needed_bytes: int) -> None:
        """Raise ServiceUnavailableError if the disk is so full that the engine's mapped files could fail."""
        stats = os.statvfs(self.path)
        free = stats.f_bavail * stats.f_frsize
        if free < needed_bytes:
            raise ServiceUnavailableError(
                f"The disk that holds the index {self.path} has {free // 2**20} MB left and needs "
                f"{needed_bytes // 2**20} MB: nothing was written. Free some space; indexing goes on by itself."
            )

    def _refuse_foreign(self) -> None:
        others = sorted(entry.name for entry in self.path.iterdir() if entry.name != "lock")
        if others:
            raise ConfigurationError(
                f"The folder {self.path} is not an index: it holds {', '.join(others[:5])}.",
                fix="Name an empty folder, or one that an index was made in.",
            )

    def _compare(self, wanted: Mapping[str, Any]) -> None:
        try:
            found = json.loads(self._description.read_text(encoding="utf-8"))
        except ValueError as exc:
            raise ConfigurationError(
                f"The description of the index, {self._description}, cannot be read: {exc}.",
                fix=f"Remove {self.path}; the index is built again from the tables.",
            ) from exc
        different = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        if different:
            details = ", ".join(f"{name}: {found.get(name)} there, {wanted.get(name)} wanted" for name in different)
            made = "with another embedding model" if "dimensions" in different else "with other settings"
            raise ConfigurationError(
                f"The index in {self.path} was made {made} ({details}).",
                fix=f"Go back to those settings, or remove {self.path}; the index is built again from the tables.",
            )

    def _remove_leftovers(self, keep: Path | None) -> None:
        """Remove what an interrupted creation or compaction left behind."""
        for entry in self.path.iterdir():
            unused_chunks = entry.name.startswith(_CHUNKS_PREFIX) and entry != keep
            unfinished_records = entry == self.records and keep is None
            if unused_chunks or unfinished_records:
                shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(
            f"The index folder {path} cannot be used: {exc.strerror}.",
            fix="Name a folder that this user may write to, on a disk with free space.",
        ) from exc


@contextmanager
def locked(path: Path) -> Iterator[EdgeFolder]:
    """Make the folder if need be and hold its lock.

    Raises ConfigurationError if another opener holds it, or the folder cannot be written.
    """
    with _usable(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("w", encoding="utf-8")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConfigurationError(
                f"The index in {path} is in use by another process.",
                fix="Stop that process, talk to it over HTTP, or name another folder.",
            ) from exc
        yield EdgeFolder(path)


def write_durably(path: Path, text: str) -> None:
    """Replace a file atomically; it survives a power loss once this returns."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power loss."""
    _synced(path, os.fsync)


def sync_files(folder: Path) -> None:
    """Make the files in and below a folder survive a power loss, mapped writes and names included.

    Files that disappear meanwhile are passed over: the engine replaces some of its own. Raises FileNotFoundError if
    there is no such folder, because then nothing was made to survive.
    """
    sync_folder(folder)
    for parent, folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                _synced(Path(parent, name), _sync_data)
        for name in folders:
            with contextlib.suppress(FileNotFoundError):
                sync_folder(Path(parent, name))


def _synced(path: Path, sync: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


_sync_data: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)  # macOS lacks the cheaper one

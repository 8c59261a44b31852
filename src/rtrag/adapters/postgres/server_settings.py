"""The settings of the embedded server, written before each start, and the folder of its socket."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rtrag.adapters.postgres.server_account import Account
from rtrag.domain.errors import ConfigurationError

INCLUDE = "\ninclude_if_exists = 'rtrag.conf'  # written before each start; ALTER SYSTEM overrides it\n"
PORT = 5432  # only part of the socket's name: the server does not listen on TCP
LONGEST_SOCKET_PATH = 103  # bytes; macOS allows 103, Linux 107
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "''",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "32MB",
    "logical_decoding_work_mem": "16MB",
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "io_method": "sync",  # the default keeps three more processes
    "autovacuum_max_workers": "2",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",  # for subscribing, which nothing here does
    "jit": "off",
    "fsync": "on",
    "wal_writer_delay": "10ms",  # bounds what a commit with synchronous_commit = off waits to be streamed
    "wal_compression": "on",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_checkpoints": "off",
    "client_connection_check_interval": "5s",
}


def write(data: Path, account: Account | None) -> None:
    """Write the settings into the data folder; ``INCLUDE`` in its postgresql.conf makes them hold.

    The folder of the socket is made for ``account`` if there is one. Raises ConfigurationError, OSError.
    """
    socket_folder = str(_socket_folder(data, account)).replace("'", "''")
    settings = {**SETTINGS, "unix_socket_directories": f"'{socket_folder}'"}
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (data / "rtrag.conf").write_text(text)


def _socket_folder(data: Path, account: Account | None) -> Path:
    """The data folder, which nobody else may enter, or a private folder where its path is too long."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
        return data
    short = Path(tempfile.gettempdir()) / f"rtrag-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = account.uid if account else os.geteuid()
    if short.is_symlink() or short.stat().st_uid not in {owner, os.geteuid()}:
        raise ConfigurationError(
            f"The folder for the server's socket, {short}, belongs to someone else.",
            fix="remove it, or choose a data folder with a shorter path.",
        )
    if account is not None:
        os.chown(short, account.uid, account.gid)
    short.chmod(0o700)
    return short

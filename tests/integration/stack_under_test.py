"""The stack that the tests of the distributed form run on: one for the session, in KRaft mode.

    RTRAG_TEST_STACK unset    started in a temporary folder on free ports, removed at the end
    RTRAG_TEST_STACK=0        these tests are left out
    RTRAG_TEST_STACK=FOLDER   the one in this folder, started if need be and left running: quick for who writes tests

What is missing is installed: Debian packages where that is allowed, jars by Maven. They are kept in pytest's cache and
shared by all stacks of a session. Where something cannot be installed the tests are skipped; in CI they fail.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import addresses

from rtrag.adapters.folder_lock import hold_folder
from rtrag.domain.errors import ConfigurationError
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack import artifacts, packages, process, supervisor
from rtrag.entrypoints.stack.layout import HOST, PORTS, Stack, remembered
from rtrag.entrypoints.stack.progress import Silent

ROOT = Path(__file__).parents[2]
INSTALL_SECONDS = 600.0


def new_stack(data: Path, jars: Path, *, zookeeper: bool = False) -> Stack:
    """A stack on free ports that is not started yet; everything that it needs is installed, or the test ends here.

    ``jars`` is where they are kept for other stacks.
    """
    if os.environ.get("RTRAG_TEST_STACK") == "0":
        pytest.skip("RTRAG_TEST_STACK=0 leaves out what needs a stack")
    stack = Stack(root=ROOT, data=data, port_offset=_free_offset(), zookeeper=zookeeper)
    try:
        _install(Stack(root=ROOT, data=jars, zookeeper=zookeeper))
    except CommandError as error:
        _end(f"no stack can be installed here: {error} {error.fix}")
    data.mkdir(parents=True, exist_ok=True)
    (data / "java").symlink_to(jars / "java")
    return stack


@contextmanager
def stack_folder() -> Iterator[Path]:
    """A folder for a stack. Not one of pytest's: each pytest that starts shuts PostgreSQL's account out of them."""
    with tempfile.TemporaryDirectory(prefix="rtrag-stack-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def jars(pytestconfig: pytest.Config) -> Path:
    """The folder of the jars, which are fetched when they are first needed."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("stack")


@pytest.fixture(scope="session")
def running_stack(jars: Path) -> Iterator[Stack]:
    """The session's stack. Who stops a part of it starts it again."""
    given = os.environ.get("RTRAG_TEST_STACK", "")
    if given not in {"", "0"}:
        kept = remembered(Path(given))
        assert kept is not None, f"there is no stack in {given}: rtrag stack up --data {given}"
        supervisor.up(kept, Silent())
        yield kept
        return
    with stack_folder() as data:
        stack = new_stack(data, jars)
        try:
            supervisor.up(stack, Silent())
            yield stack
        finally:
            supervisor.down(stack, Silent(), wipe=True)


@pytest.fixture(scope="session")
def stack_addresses(running_stack: Stack) -> Addresses:
    """Where the session's stack listens."""
    return addresses(running_stack)


def _install(shared: Stack) -> None:
    """Packages and jars, one session at a time. Raises CommandError."""
    deadline = time.monotonic() + INSTALL_SECONDS
    while True:
        try:
            with hold_folder(shared.data):
                missing = packages.missing_packages()
                if missing:
                    packages.install(missing, shared.log("apt"))
                artifacts.fetch(shared, Silent().working)
                return
        except ConfigurationError:  # another session is at it
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _free_offset() -> int:
    """An offset at which nobody listens on any of the ports; sessions that begin together look in different places."""
    offsets = [3000 + (os.getpid() + number) % 20 * 1000 for number in range(20)]
    return next(o for o in offsets if not any(process.listener(HOST, port + o) for port in PORTS.values()))


def _end(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

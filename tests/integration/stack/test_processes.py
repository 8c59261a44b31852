"""Real processes that outlive who started them."""

import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import psutil
import pytest

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack import process, supervisor
from rtrag.entrypoints.stack.layout import Stack
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part
from rtrag.entrypoints.stack.process import Files

SLEEPS = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
QUICK = ((signal.SIGTERM, 0.3), (signal.SIGKILL, 10.0))


class Listening:
    """Progress that a test reads."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def working(self, text: str) -> AbstractContextManager[object]:
        return nullcontext()

    def done(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """Files of a process, which is killed at the end if it still runs."""
    found = Files(log=tmp_path / "logs" / "part.log", record=tmp_path / "run" / "part.json")
    yield found
    left = process.find(found.record)
    if left is not None:
        left.kill()


def python(script: str, folder: Path) -> Launch:
    return Launch(command=(sys.executable, "-c", script), folder=folder, environment={"GIVEN": "yes"})


def part(script: str, stack: Stack, *, healthy: bool = False, ports: tuple[int, ...] = ()) -> Part:
    def check() -> str:
        if not healthy:
            raise NotHealthyError("it says nothing")
        return "fine"

    return Part(
        name="part",
        title="The part",
        ports=ports or (1,),
        prepare=lambda: python(script, stack.folder("part")),
        check=check,
        start_seconds=0.5,
        stops=QUICK,
    )


def await_line(log: Path) -> None:
    """Until the process has written a line."""
    deadline = time.monotonic() + 30
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline, "the process has written nothing"
        time.sleep(0.01)


@pytest.fixture
def stack(tmp_path: Path, files: Files) -> Stack:
    return Stack(root=tmp_path, data=tmp_path)


def test_a_process_is_found_again_by_its_file_until_it_is_stopped(files: Files, tmp_path: Path) -> None:
    started = process.start(python(SLEEPS, tmp_path), files)
    assert process.find(files.record) == started
    assert process.stop(started, QUICK) is signal.SIGTERM
    assert process.find(files.record) is None


def test_a_process_has_a_session_of_its_own_and_little_of_our_environment(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    script = "import os, time; print(os.getsid(0) == os.getpid(), sorted(os.environ), flush=True); time.sleep(600)"
    process.start(python(script, tmp_path), files)
    await_line(files.log)
    session, _, names = files.log.read_text().partition(" ")
    assert session == "True"
    assert "'GIVEN'" in names
    assert "OPENAI_API_KEY" not in names


def test_a_number_that_another_process_has_by_now_is_not_ours(files: Files, tmp_path: Path) -> None:
    process.start(python(SLEEPS, tmp_path), files)
    noted = json.loads(files.record.read_text())
    ours = psutil.Process(noted["pid"])
    try:
        files.record.write_text(json.dumps({**noted, "started": noted["started"] - 60}))
        assert process.find(files.record) is None
    finally:
        ours.kill()


def test_a_file_that_is_half_written_names_no_process(files: Files) -> None:
    files.record.parent.mkdir()
    files.record.write_text('{"pid": 1')
    assert process.find(files.record) is None


def test_a_process_that_does_not_listen_to_the_signal_is_killed(files: Files, tmp_path: Path) -> None:
    started = process.start(python(DEAF, tmp_path), files)
    await_line(files.log)
    assert process.stop(started, QUICK) is signal.SIGKILL
    assert process.ended(started)


def test_a_program_that_is_missing_is_named(files: Files, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="/no/such/program cannot be started"):
        process.start(Launch(command=("/no/such/program",), folder=tmp_path), files)


def test_who_holds_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"process {psutil.Process().pid}" in (process.listener("127.0.0.1", port) or "")
    assert process.listener("127.0.0.1", port) is None


def test_a_part_that_ends_shows_the_end_of_its_log(stack: Stack, files: Files) -> None:
    script = "print('line 1'); print('the cause'); raise SystemExit(3)"
    with pytest.raises(CommandError, match="The part ended before it was healthy") as failure:
        supervisor._start(stack, part(script, stack), Listening())
    assert str(failure.value).endswith("line 1\nthe cause")
    assert not files.record.exists()


def test_a_part_that_is_not_healthy_in_time_is_stopped(stack: Stack, files: Files) -> None:
    with pytest.raises(CommandError, match=r"not healthy within 0\.5 s \(it says nothing\)"):
        supervisor._start(stack, part(SLEEPS, stack), Listening())
    assert not files.record.exists()


def test_a_part_that_runs_is_left_running(stack: Stack, files: Files) -> None:
    heard = Listening()
    supervisor._start(stack, part(SLEEPS, stack, healthy=True), heard)
    first = process.find(files.record)
    supervisor._start(stack, part(SLEEPS, stack, healthy=True), heard)
    assert first is not None
    assert process.find(files.record) == first
    assert "was running" in heard.lines[1]
    assert "was running" not in heard.lines[0]


def test_a_part_whose_port_is_taken_is_not_started(stack: Stack, files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandError, match=f"needs port {port}, which is taken"):
            supervisor._start(stack, part(SLEEPS, stack, ports=(port,)), Listening())
    assert not files.record.exists()


def test_wiping_leaves_the_jars(stack: Stack) -> None:
    (stack.java("kafka")).mkdir(parents=True)
    (stack.folder("postgres") / "data").mkdir()
    supervisor.down(stack, Listening(), wipe=True)
    assert sorted(path.name for path in stack.data.iterdir()) == ["java", "lock"]

"""Programs that have to be there, and jars by Maven, with stand-ins for the programs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack import artifacts, packages
from rtrag.entrypoints.stack.layout import Stack

POM = "<project><properties><kafka.version>{version}</kafka.version></properties></project>"


@contextmanager
def working(_text: str) -> Iterator[None]:
    yield


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A checkout with poms of one version each."""
    for name in ("kafka", "debezium"):
        (tmp_path / "root" / "stack" / name).mkdir(parents=True)
        pom(tmp_path, name, "1.0.0")
    return Stack(root=tmp_path / "root", data=tmp_path / "data")


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Maven that makes the folder it is told to, with one jar in it, and notes that it ran. The note."""
    note = tmp_path / "ran"
    script = f"""
for word in "$@"; do case "$word" in -Dstack.folder=*) folder="${{word#*=}}";; */pom.xml) pom="$word";; esac; done
mkdir -p "$folder" && touch "$folder/some.jar" && echo "$pom" >> {note}
"""
    monkeypatch.setenv("PATH", str(program(tmp_path / "bin", "mvn", script).parent), prepend=os.pathsep)
    return note


def pom(folder: Path, name: str, version: str) -> None:
    (folder / "root" / "stack" / name / "pom.xml").write_text(POM.format(version=version))


def test_jars_are_fetched_once(stack: Stack, maven: Path) -> None:
    assert artifacts.fetch(stack, working) == ["kafka", "debezium"]
    assert (stack.java("kafka") / "some.jar").exists()
    assert artifacts.fetch(stack, working) == []
    assert len(maven.read_text().splitlines()) == 2


def test_a_changed_pom_is_fetched_again_alone(stack: Stack, maven: Path, tmp_path: Path) -> None:
    artifacts.fetch(stack, working)
    (stack.java("kafka") / "of-the-old-version.jar").touch()
    pom(tmp_path, "kafka", "1.0.1")
    assert artifacts.fetch(stack, working) == ["kafka"]
    assert not (stack.java("kafka") / "of-the-old-version.jar").exists()


def test_a_fetch_that_fails_says_why_and_leaves_nothing_that_looks_whole(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "echo '[INFO] fine'; echo '[ERROR] no such artifact'; exit 1"
    monkeypatch.setenv("PATH", str(program(tmp_path / "bin", "mvn", script).parent), prepend=os.pathsep)
    with pytest.raises(CommandError) as failure:
        artifacts.fetch(stack, working)
    assert "[ERROR] no such artifact" in str(failure.value)
    assert "fine" not in str(failure.value)
    assert not stack.java("kafka").exists()


def test_without_root_or_sudo_the_command_to_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="missing: prometheus, maven") as failure:
        packages.install(["prometheus", "maven"], tmp_path / "log")
    assert failure.value.fix.startswith("sudo apt-get install --no-install-recommends prometheus maven")


@pytest.mark.parametrize(("said", "found"), [('openjdk version "17.0.15"', True), ('java version "1.8.0_401"', False)])
def test_a_java_that_is_too_old_counts_as_missing(
    said: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = program(tmp_path / "bin", "java", f"echo '{said}' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert packages.find_program("java") == (java if found else None)


def test_valkey_will_do_where_there_is_no_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_USUAL", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert packages.find_program("redis-server") is None
    valkey = program(tmp_path / "bin", "valkey-server", "")
    assert packages.find_program("redis-server") == valkey

"""The image of our services: what goes into it, from where, and as whom it runs."""

import re
import shlex

import pytest

from unit.deployment.compose import BASE, DEVELOPMENT, OURS, ROOT, mounts, services, text_of

DOCKERFILE = text_of("Dockerfile")
IGNORED = text_of(".dockerignore")


def instructions(word: str) -> list[str]:
    """The arguments of every instruction of this kind, in one line each."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    return re.findall(rf"(?m)^{word} (.*)$", joined)


def copied() -> list[str]:
    """What is copied from the checkout."""
    found = [shlex.split(line) for line in instructions("COPY")]
    return [source for words in found if not words[0].startswith("--from") for source in words[:-1]]


def reaches_the_engine(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last pattern that names it, or a folder above it, decides."""
    through = True
    for line in IGNORED.splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (pattern in {"*", path} or path.startswith(f"{pattern}/")):
            through = line.startswith("!")
    return through


def test_the_base_image_is_pinned_and_new_enough() -> None:
    known: set[str] = set()
    for line in instructions("FROM"):
        image, _, stage = line.partition(" AS ")
        if image not in known:
            version = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-[a-z]+", image)
            assert version, line
            (oldest,) = re.findall(r'requires-python = ">=3\.(\d+)"', text_of("pyproject.toml"))
            assert (version[1], int(version[2]) >= int(oldest)) == ("3", True)
        known.add(stage)
    assert known == {"base", "build", ""}


def test_every_package_is_pinned_by_its_hash() -> None:
    commands = [command.strip() for line in instructions("RUN") for command in line.split("&&")]
    installs = [command for command in commands if command.startswith("pip ")]
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or "--no-deps" in command
    assert {file for command in installs for file in re.findall(r"-r (\S+)", command)} == {
        "requirements/build.txt",
        "requirements/distributed.txt",
    }


def test_what_is_copied_exists_and_reaches_the_engine() -> None:
    assert {"src", "scripts", "docker/rtrag.toml"} <= set(copied())
    for source in copied():
        assert (ROOT / source).exists()
        assert reaches_the_engine(source), source


@pytest.mark.parametrize(
    "path", [".env", ".git/config", ".venv/bin/python", ".rtrag/instance.json", "docker-compose.yml", "docker/redis"]
)
def test_nothing_else_reaches_the_engine(path: str) -> None:
    assert not reaches_the_engine(path)


def test_the_wheel_finds_what_pyproject_names() -> None:
    named = re.findall(r'^(?:readme = |license-files = \[)"([^"]+)"', text_of("pyproject.toml"), re.MULTILINE)
    assert len(named) == 2
    assert set(named) <= set(copied())


def test_it_runs_as_a_user_that_may_write_to_its_data_alone() -> None:
    (user,) = instructions("USER")
    uid, gid = re.findall(r"--[ug]id (\d+)", " ".join(instructions("RUN")))[::-1]
    assert user == f"{uid}:{gid}"
    assert int(uid) > 0
    for name in OURS:
        folder = services()[name]["environment"]["RTRAG_DATA_FOLDER"]
        assert f"{folder}:uid={uid},gid={gid},mode=0700" in services()[name]["tmpfs"]
        assert f"RTRAG_DATA_FOLDER={folder} " in f"{instructions('ENV')[-1]} "


def test_the_scripts_are_where_the_documents_call_them() -> None:
    assert "scripts scripts" in instructions("COPY")
    assert instructions("WORKDIR")[-1] == "/app"
    for name in OURS:
        script = services()[name]["healthcheck"]["test"][2]
        assert (ROOT / script.removeprefix("/app/")).is_file()
    assert (ROOT / "scripts/ingest_initial.py").is_file()


def test_for_developing_the_code_of_the_checkout_is_run_and_watched() -> None:
    for name in OURS:
        service = services(BASE, DEVELOPMENT)[name]
        command, watched = service["command"]
        assert shlex.split(command) == ["rtrag", *services()[name]["command"]]
        assert service["environment"]["PYTHONPATH"] == watched
        assert ("./src", watched, True) in list(mounts(service))
        assert service["entrypoint"][0] == "watchfiles"

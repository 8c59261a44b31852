"""Where the stack keeps its things."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack.layout import LARGEST_OFFSET, PORTS, Stack, find_root, remember, remembered

ROOT = Path(__file__).parents[3]


@given(offset=st.integers(0, LARGEST_OFFSET))
def test_an_offset_moves_every_port_and_none_out_of_range(offset: int) -> None:
    stack = Stack(root=ROOT, data=Path("/data"), port_offset=offset)
    moved = {name: stack.port(name) for name in PORTS}
    assert {name: port - offset for name, port in moved.items()} == PORTS
    assert len(set(moved.values())) == len(PORTS)
    assert max(moved.values()) <= 65535


def test_the_ports_are_those_of_the_outer_contract() -> None:
    promised = {"postgres": 5434, "zookeeper": 2182, "kafka": 9094, "connect": 8084, "redis": 6381, "prometheus": 9091}
    assert PORTS.items() >= {**promised, "update-service": 8002, "query-service": 8003}.items()


def test_the_checkout_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    assert find_root(None, ROOT / "docker" / "kafka") == ROOT
    inner = tmp_path / "some" / "where"
    inner.mkdir(parents=True)
    (tmp_path / "docker" / "kafka").mkdir(parents=True)
    (tmp_path / "docker" / "kafka" / "server.properties").touch()
    assert find_root(None, inner) == tmp_path


def test_outside_a_checkout_the_one_of_this_code_is_taken(tmp_path: Path) -> None:
    assert find_root(None, tmp_path) == ROOT


def test_a_folder_given_must_be_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not in"):
        find_root(tmp_path, ROOT)


def test_a_stack_is_found_again_with_its_shape(tmp_path: Path) -> None:
    stack = Stack(root=ROOT, data=tmp_path.resolve(), port_offset=1000, zookeeper=True)
    assert remembered(tmp_path) is None
    remember(stack)
    assert remembered(tmp_path) == stack


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"root": "/", "port_offset": "x", "zookeeper": False})])
def test_a_broken_shape_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(CommandError, match=r"stack\.json cannot be read"):
        remembered(tmp_path)


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"docker/redis/redis\.conf is missing"):
        Stack(root=tmp_path, data=tmp_path).configuration("docker/redis/redis.conf")

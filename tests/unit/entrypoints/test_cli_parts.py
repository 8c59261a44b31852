"""Parts of the command line that need no instance."""

import json
import os
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rtrag.config import Settings
from rtrag.config.models import HttpSettings
from rtrag.domain.errors import TooSlowError
from rtrag.entrypoints.cli import checks, local, server
from rtrag.entrypoints.cli import up as commands
from rtrag.entrypoints.cli.client import HttpApi, document_path, parsed, with_params
from rtrag.entrypoints.cli.errors import ApiError, CommandError
from rtrag.entrypoints.cli.exposure import addresses_of, exposure, listening_addresses
from rtrag.entrypoints.cli.instance import Instance, Target, read_instance, remove_instance, write_instance
from rtrag.entrypoints.cli.output import plain
from rtrag.entrypoints.cli.query import parse_filters
from rtrag.entrypoints.cli.server import Running, Serving, bind, run
from rtrag.testing.documents import FakeDocuments
from rtrag.testing.services import fake_services
from rtrag.testing.state import FakeState

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what it is warned of
HERE = Instance(url="http://127.0.0.1:8000", postgres_url="postgresql://user:secret@/db", pid=4711)


@pytest.mark.parametrize(
    ("texts", "filters"),
    [
        ([], {}),
        (["team=platform"], {"team": "platform"}),
        (["team=a", "team=b", "team=c"], {"team": ["a", "b", "c"]}),
        (["year>=2020", "year<2024"], {"year": {"gte": 2020, "lt": 2024}}),
        (["x!=1.5", "flag=true", "code=007", 'n="7"'], {"x": {"ne": 1.5}, "flag": True, "code": "007", "n": "7"}),
        (["url=a=b", "empty="], {"url": "a=b", "empty": ""}),
    ],
)
def test_filters_are_read_as_the_api_takes_them(texts: list[str], filters: dict[str, Any]) -> None:
    assert parse_filters(texts) == filters


@pytest.mark.parametrize("texts", [["team"], ["=x"], ["a=1", "a>2"], ["a>2", "a=1"]])
def test_what_is_no_filter_is_a_usage_error(texts: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        parse_filters(texts)
    assert (caught.value.code, bool(caught.value.fix)) == (2, True)


def test_the_instance_file_is_its_owners_alone_and_taken_back(tmp_path: Path) -> None:
    write_instance(tmp_path, HERE)
    assert read_instance(tmp_path) == HERE
    assert stat.S_IMODE((tmp_path / "instance.json").stat().st_mode) == 0o600
    remove_instance(tmp_path, HERE.pid + 1)
    assert read_instance(tmp_path) == HERE
    remove_instance(tmp_path, HERE.pid)
    assert list(tmp_path.iterdir()) == []


def test_an_instance_file_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"instance\.json, which says where") as caught:
        write_instance(tmp_path / "none", HERE)
    assert caught.value.fix


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "x"}', '{"url": "x", "postgres_url": "y", "pid": "z"}'])
def test_a_half_written_instance_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "instance.json").write_text(text)
    assert read_instance(tmp_path) is None


def test_the_folder_is_found_as_the_settings_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RTRAG_CONFIG", "RTRAG_DATA_FOLDER", "RTRAG_HTTP__API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    assert (Target().folder, Target().key) == (Path(".rtrag"), None)
    Path("rtrag.toml").write_text('data_folder = "from-file"\n[http]\napi_keys = ["k1", "k2"]\n')
    assert (Target().folder, Target().key) == (Path("from-file"), "k1")
    monkeypatch.setenv("RTRAG_DATA_FOLDER", "from-environment")
    monkeypatch.setenv("RTRAG_HTTP__API_KEYS", '["k3"]')
    assert (Target().folder, Target().key) == (Path("from-environment"), "k3")
    assert Target(data=Path("given"), api_key="k4").folder == Path("given")
    assert Target(api_key="k4").key == "k4"


def test_a_configuration_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        _ = Target(config=tmp_path / "none.toml").folder
    assert caught.value.code == 2


def test_a_problem_becomes_its_detail_and_a_fix() -> None:
    problem = json.dumps({"type": "urn:rtrag:problem:no-such-path", "detail": "There is nothing here."}).encode()
    with pytest.raises(ApiError, match="There is nothing here") as caught:
        parsed(404, problem, url="http://x")
    assert "--url" in caught.value.fix
    with pytest.raises(ApiError, match="502"):
        parsed(502, b"<html>bad gateway</html>", url="http://x")
    with pytest.raises(CommandError, match="does not speak JSON"):
        parsed(200, b"<html>", url="http://x")
    assert parsed(204, b"", url="http://x") is None


def test_ids_of_responses_are_not_encoded_twice() -> None:
    assert document_path("docs%2Fa b.md") == "/api/documents/docs%2Fa%20b.md"
    assert document_path("a?b#c") == "/api/documents/a%3Fb%23c"
    assert with_params("/x", {"a": None, "b": "c d"}) == "/x?b=c+d"


def test_arguments_that_are_no_text_make_addresses_all_the_same() -> None:
    assert document_path("caf\udce9") == "/api/documents/caf%3F"
    assert with_params("/x", {"search": "caf\udce9"}) == "/x?search=caf%3F"


@pytest.mark.parametrize(("url", "key"), [("http://here:x", None), ("http://[1", None), ("here:8000", "k\néy")])
def test_an_address_or_a_key_that_cannot_be_is_a_usage_error(url: str, key: str | None) -> None:
    with pytest.raises(CommandError) as caught:
        HttpApi(url, key)
    assert (caught.value.code, bool(caught.value.fix)) == (2, True)


def test_a_database_that_stays_away_ends_a_command_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(local._LocalApi):
        def __init__(self) -> None:
            self.asked = 0

        def call(self, *_: Any, **__: Any) -> Any:
            self.asked += 1
            return {"ready": False, "problems": ["Starting.", "No stream of changes at the moment: refused"]}

    monkeypatch.setattr(local, "_AWAY_SECONDS", 0.1)
    away = Away()
    with pytest.raises(CommandError, match="refused") as caught:
        away.wait_until_ready()
    assert "POSTGRES_URL" in caught.value.fix
    assert away.asked > 1


async def test_a_table_that_takes_too_long_to_list_does_not_end_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Slow(FakeDocuments):
        async def list(self, *_: Any, **__: Any) -> Any:
            raise TooSlowError

    state = FakeState()
    services = fake_services(state)
    services = replace(services, documents=Slow(state, services.collections))
    assert not await commands._is_empty(services)
    await commands._explain(Running(url="http://here", services=services), Target())
    assert "Ready at http://here" in capsys.readouterr().out


def test_a_document_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2Jb\x07\x9bc\r\n\td") == "a[2Jbc\n\td"


@pytest.mark.parametrize(
    ("host", "keys", "exposed"),
    [
        ("127.0.0.1", (), False),
        ("localhost", (), False),
        ("::1", (), False),
        ("::ffff:127.0.0.1", (), False),
        (EVERYWHERE, (), True),
        ("::", (), True),
        ("192.0.2.7", (), True),
        (EVERYWHERE, ("key",), False),
        ("no-such-host.invalid", (), False),
    ],
)
def test_listening_beyond_this_machine_without_a_key_is_told(host: str, keys: tuple[str, ...], exposed: bool) -> None:
    settings = Settings(http=HttpSettings(host=host, api_keys=tuple(map(SecretStr, keys))))
    assert bool(exposure(addresses_of(host), settings)) == exposed


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), (EVERYWHERE, True)])
def test_a_start_beyond_this_machine_without_a_key_warns_before_it_serves(
    host: str, warned: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "open_instance", _refuse)
    with pytest.raises(CommandError, match="nothing is started"):
        run(Serving(settings=Settings(), host=host, ports=(0,)), on_running=_refuse)
    err = capsys.readouterr().err
    assert ("Warning:" in err and "RTRAG_HTTP__API_KEYS" in err) == warned
    assert (EVERYWHERE in err) == warned


def _refuse(*_: object) -> Any:
    raise CommandError("nothing is started here")


def test_doctor_looks_at_where_an_instance_listens_and_not_only_at_the_settings() -> None:
    here = replace(HERE, pid=os.getpid())
    with socket.socket() as listening:
        listening.bind((EVERYWHERE, 0))
        listening.listen()
        assert EVERYWHERE in listening_addresses(os.getpid())
        (finding,) = checks._access(Settings(), here)
        assert (finding.state, finding.what, EVERYWHERE in finding.detail) == ("warning", "access", True)
        (keyed,) = checks._access(Settings(http=HttpSettings(api_keys=(SecretStr("key"),))), here)
    (unexposed,) = checks._access(Settings(), None)
    (configured,) = checks._access(Settings(http=HttpSettings(host=EVERYWHERE)), None)
    assert (keyed.state, unexposed.state, configured.state) == ("ok", "ok", "warning")
    assert list(checks._access(Settings(http=HttpSettings(host="no-such-host.invalid")), None)) == []
    assert listening_addresses(2**22 + 1) == ()


def test_a_port_that_is_taken_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=str(port)) as caught:
            bind("127.0.0.1", port)
    assert "--port" in caught.value.fix
    with pytest.raises(CommandError, match="no-such-host"):
        bind("no-such-host.invalid", 0)

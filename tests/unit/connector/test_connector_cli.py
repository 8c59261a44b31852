"""What `rtrag debezium` does with files, changes and causes."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.entrypoints.cli import connector_apply
from rtrag.entrypoints.cli.connector_apply import bring_up_to_date, until_running
from rtrag.entrypoints.cli.connector_causes import explain
from rtrag.entrypoints.cli.connector_file import USUAL_NAME, Connector, differences, doubts, read_connector
from rtrag.entrypoints.cli.errors import CommandError
from unit.connector.fake_connect import FakeConnect

FOLDER = Path(__file__).parents[3] / "debezium"
CONFIG = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "topic.prefix": "rag.1",
    "slot.name": "debezium",
    "database.user": "debezium",
    "database.password": "secret-1",
    "table.include.list": "public.documents",
}
WANTED = Connector(name="docs", config=CONFIG)
TEXTS = st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=3))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_apply, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(connector_apply, "_SETTLED_SECONDS", 0.0)


@pytest.fixture
def connect() -> FakeConnect:
    return FakeConnect()


def test_the_two_files_of_the_repository_are_the_same_connector() -> None:
    wrapped = json.loads((FOLDER / "connector-config.json").read_text())
    alone = json.loads((FOLDER / "connector-config-only.json").read_text())
    assert wrapped == {"name": USUAL_NAME, "config": alone}
    assert all(isinstance(value, str) for value in alone.values())
    assert list(doubts(None, alone)) == []


def test_a_file_is_read_with_or_without_its_wrapper() -> None:
    wrapped = read_connector(FOLDER / "connector-config.json", None, ())
    alone = read_connector(FOLDER / "connector-config-only.json", None, ())
    assert wrapped == alone
    assert read_connector(FOLDER / "connector-config-only.json", "other", ()).name == "other"


def test_changes_are_laid_over_the_file() -> None:
    changed = read_connector(FOLDER / "connector-config.json", None, ["slot.name=a=b", "plugin.name=", "new=1"]).config
    assert (changed["slot.name"], changed["new"], "plugin.name" in changed) == ("a=b", "1", False)


@pytest.mark.parametrize(
    ("text", "change"),
    [("{", ""), ("[]", ""), ("{}", ""), ('{"config": {}}', ""), ('{"connector.class": "x", "tasks.max": 1}', ""),
     ('{"connector.class": "x"}', "no-equals"), ('{"connector.class": "x"}', "=value")],
)  # fmt: skip
def test_what_is_no_connector_is_a_usage_error(tmp_path: Path, text: str, change: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(CommandError) as caught:
        read_connector(file, None, [change] if change else ())
    assert (caught.value.code, bool(caught.value.fix)) == (2, True)


def test_a_file_that_is_missing_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.json"):
        read_connector(tmp_path / "none.json", None, ())


@given(TEXTS, TEXTS)
def test_a_line_for_each_difference_and_none_for_the_same(old: dict[str, str], new: dict[str, str]) -> None:
    different = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    assert {line[2] for line in differences(old, new)} == different
    assert differences({**old, "name": "docs"}, old) == []
    assert differences(None, new) == []


def test_secrets_are_not_shown() -> None:
    [line] = differences(CONFIG, {**CONFIG, "database.password": "secret-2"})
    assert line == "~ database.password: (not shown) -> (not shown)"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({}, {}, []),
        ({}, {"topic.prefix": "rag.2"}, ["all rows are copied"]),
        ({"notifications": "rag.1.n"}, {"topic.prefix": "rag.2", "notifications": "rag.1.n"}, ["copied", "is still"]),
        ({}, {"slot.name": "other"}, ["refuses a slot"]),
        ({}, {"topic.prefix": "rag.2", "slot.name": "other"}, ["all rows are copied"]),
        ({}, {"topic.prefix": "rag"}, ["does not end in a number", "copied"]),
    ],
)
def test_what_is_probably_not_meant_is_told(old: Mapping[str, str], new: Mapping[str, str], words: list[str]) -> None:
    told = list(doubts({**CONFIG, **old}, {**CONFIG, **new}))
    assert [word in line for word, line in zip(words, told, strict=True)] == [True] * len(words)


CAUSES = [
    ("DebeziumException: Postgres server wal_level property must be 'logical' but is: 'replica'", "ALTER SYSTEM"),
    ("PSQLException: ERROR: must be superuser or replication role to use replication slots", "debezium REPLICATION"),
    ("PSQLException: FATAL: permission denied to start WAL sender", "debezium REPLICATION"),
    ("PSQLException: ERROR: permission denied for table documents", "GRANT SELECT ON public.documents TO debezium"),
    ('PSQLException: ERROR: replication slot "debezium" is active for PID 23667', "reads slot debezium"),
    ("ConnectException: Publication autocreation is disabled, please create one", "CREATE PUBLICATION"),
    ('ConnectException: Unable to create filtered publication p for "public"."documents"', "CREATE PUBLICATION"),
    (
        "The connector is trying to read change stream ..., but this is no longer available on the server.",
        "--drop-slot",
    ),
    ('ERROR: can no longer get changes from replication slot "debezium"', "--drop-slot"),
    ("ConnectException: Unable to update filtered publication debezium for ...", "ALTER PUBLICATION"),
    ("RecordTooLargeException: The message is 8001337 bytes", "max.request.size"),
    ('FATAL: password authentication failed for user "debezium"', "database.password"),
]


@pytest.mark.parametrize(("reason", "fix"), CAUSES)
def test_usual_causes_come_with_their_fix(reason: str, fix: str) -> None:
    frames = "\tat io.debezium.X.start(X.java:1)\n" * 40
    trace = f"org.apache.ConnectException: stopped\n{frames}Caused by: {reason}\n{frames}\t... 8 more\n"
    cause = explain(trace, CONFIG)
    assert cause.lines == ("org.apache.ConnectException: stopped", f"Caused by: {reason}")
    assert fix in cause.fix


def test_an_unknown_cause_is_told_without_a_fix_and_not_at_any_length() -> None:
    cause = explain("java.lang.X: " + "y" * 10_000 + " the end\n" + "line\n" * 50, {})
    assert cause.fix == ""
    assert sum(map(len, cause.lines)) < 1_000
    assert cause.lines[0].endswith("the end")


async def test_a_connector_is_made_once_and_then_up_to_date(
    connect: FakeConnect, capsys: pytest.CaptureFixture[str]
) -> None:
    await bring_up_to_date(connect.client(), WANTED, 5)
    await bring_up_to_date(connect.client(), WANTED, 5)
    assert connect.changed() == ["PUT /connectors/docs/config"]
    assert capsys.readouterr().out.splitlines() == ["docs is made.", "docs runs.", "docs is up to date.", "docs runs."]


async def test_a_change_is_shown_and_made(connect: FakeConnect, capsys: pytest.CaptureFixture[str]) -> None:
    await bring_up_to_date(connect.client(), WANTED, 5)
    changed = {**CONFIG, "poll.interval.ms": "5", "database.password": "secret-2"}
    await bring_up_to_date(connect.client(), Connector(name="docs", config=changed), 5)
    assert connect.configs["docs"] == {**changed, "name": "docs"}
    out = capsys.readouterr().out
    assert "+ poll.interval.ms = 5" in out
    assert "secret" not in out


async def test_a_configuration_that_is_refused_changes_nothing(connect: FakeConnect) -> None:
    connect.problems = {"database.hostname": ["Connection to nowhere:5432 refused."]}
    with pytest.raises(CommandError, match="refused") as caught:
        await bring_up_to_date(connect.client(), WANTED, 5)
    assert (caught.value.code, "database.hostname" in caught.value.fix) == (2, True)
    assert connect.changed() == []


async def test_applying_again_starts_what_has_failed(connect: FakeConnect, capsys: pytest.CaptureFixture[str]) -> None:
    await bring_up_to_date(connect.client(), WANTED, 5)
    connect.states["docs"], connect.traces["docs"] = ("RUNNING", "FAILED"), "java: no"
    await bring_up_to_date(connect.client(), WANTED, 5)
    assert connect.changed() == ["PUT /connectors/docs/config", "POST /connectors/docs/restart"]
    assert "started anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("states", "said"),
    [(("RUNNING", "FAILED"), "has failed"), (("PAUSED", "PAUSED"), "is paused"), (("STOPPED", ""), "is stopped"),
     (("RUNNING", ""), "does not run after"), (("UNASSIGNED", "UNASSIGNED"), "does not run after")],
)  # fmt: skip
async def test_what_does_not_run_is_told(
    connect: FakeConnect, states: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connect.configs["docs"] = dict(CONFIG)
    connect.states["docs"], connect.traces["docs"] = states, CAUSES[0][0]
    with pytest.raises(CommandError, match=said) as caught:
        await until_running(connect.client(), "docs", 0.05)
    assert caught.value.code == 1
    assert ("ALTER SYSTEM" in capsys.readouterr().err) == ("FAILED" in states)


async def test_a_connector_that_nobody_has_heard_of_is_waited_for(connect: FakeConnect) -> None:
    with pytest.raises(CommandError, match="not known yet"):
        await until_running(connect.client(), "docs", 0.05)
    connect.configs["docs"] = dict(CONFIG)
    await until_running(connect.client(), "docs", 5)


def test_the_connectors_settings_hold_what_the_pipeline_relies_on() -> None:
    config = read_connector(FOLDER / "connector-config.json", None, ()).config
    wanted = {
        "plugin.name": "pgoutput",
        "skipped.operations": "none",
        "tombstones.on.delete": "true",
        "errors.tolerance": "none",
        "snapshot.mode": "initial",
        "binary.handling.mode": "hex",
        "decimal.handling.mode": "string",
        "unavailable.value.placeholder": "__debezium_unavailable_value",
        "producer.override.acks": "all",
    }
    assert {key: config[key] for key in wanted} == wanted
    size = "producer.override.max.request.size"
    assert config[size] == config["topic.creation.default.max.message.bytes"]
    assert int(config[size]) <= int(config["producer.override.buffer.memory"])

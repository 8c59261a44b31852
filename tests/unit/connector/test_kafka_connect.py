"""The client of Kafka Connect, against a small one."""

from collections.abc import Callable

import httpx
import pytest

from rtrag.adapters.kafka_connect import KafkaConnect, open_kafka_connect
from rtrag.domain.errors import ConfigurationError, NotFoundError, ServiceUnavailableError
from unit.connector.fake_connect import URL, FakeConnect, error

CONFIG = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "slot.name": "debezium"}


@pytest.fixture
def connect() -> FakeConnect:
    return FakeConnect()


async def test_a_connector_is_made_read_and_removed(connect: FakeConnect) -> None:
    client = connect.client()
    assert await client.version() == "4.3.0"
    assert await client.config("docs") is None
    await client.put_config("docs", CONFIG)
    assert await client.config("docs") == {**CONFIG, "name": "docs"}
    assert (await client.status("docs")).running
    await client.delete("docs")
    assert await client.config("docs") is None
    with pytest.raises(NotFoundError, match="docs"):
        await client.status("docs")


async def test_a_name_may_hold_any_sign(connect: FakeConnect) -> None:
    paths = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(201, json={})

    connect.answers = answer
    await connect.client().put_config("a/b c?", CONFIG)
    assert paths == [b"/connectors/a%2Fb%20c%3F/config"]


async def test_pausing_stopping_and_resuming_show_in_the_status(connect: FakeConnect) -> None:
    client = connect.client()
    await client.put_config("docs", CONFIG)
    await client.pause("docs")
    assert (await client.status("docs")).connector.state == "PAUSED"
    await client.stop("docs")
    assert (await client.status("docs")).tasks == ()
    await client.forget_offsets("docs")
    await client.resume("docs")
    assert (await client.status("docs")).running


@pytest.mark.parametrize(("only_failed", "restarted"), [(True, False), (False, True)])
async def test_a_restart_may_leave_alone_what_has_not_failed(
    connect: FakeConnect, only_failed: bool, restarted: bool
) -> None:
    client = connect.client()
    await client.put_config("docs", CONFIG)
    connect.states["docs"] = ("RUNNING", "PAUSED")
    await client.restart("docs", only_failed=only_failed)
    assert (await client.status("docs")).running == restarted


async def test_a_connector_without_a_task_does_not_run_and_a_failed_task_is_told_with_its_trace(
    connect: FakeConnect,
) -> None:
    client = connect.client()
    await client.put_config("docs", CONFIG)
    connect.states["docs"] = ("RUNNING", "")
    assert not (await client.status("docs")).running
    connect.states["docs"], connect.traces["docs"] = ("RUNNING", "FAILED"), "java: no"
    found = await client.status("docs")
    assert not found.running
    assert [(part.name, part.trace) for part in found.failed] == [("task 0", "java: no")]


async def test_a_rebalance_is_waited_for(connect: FakeConnect) -> None:
    connect.busy = 5
    await connect.client().put_config("docs", CONFIG)
    assert "docs" in connect.configs


async def test_a_rebalance_that_does_not_end_is_an_error_that_may_pass(connect: FakeConnect) -> None:
    connect.busy = 1_000_000
    with pytest.raises(ServiceUnavailableError, match="rebalancing"):
        await connect.client(patience=0.01).put_config("docs", CONFIG)


async def test_what_the_connector_finds_wrong_is_given_by_setting(connect: FakeConnect) -> None:
    connect.problems = {"snapshot.mode": ["no such mode"], "slot.name": []}
    assert await connect.client().problems("docs", CONFIG) == {"snapshot.mode": ("no such mode",)}


async def test_a_plugin_that_is_not_there_is_a_configuration_error(connect: FakeConnect) -> None:
    with pytest.raises(ConfigurationError, match="MySqlConnector") as caught:
        await connect.client().problems("docs", {"connector.class": "io.debezium.MySqlConnector"})
    assert "plugin.path" in caught.value.fix


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda _: error(500, "Request timed out"), ServiceUnavailableError),
        (lambda _: error(400, "Connector configuration is invalid"), ConfigurationError),
        (lambda _: httpx.Response(200, text="<html>Grafana</html>"), ConfigurationError),
        (lambda _: httpx.Response(200, json={"status": "ok"}), ConfigurationError),
        (lambda _: httpx.Response(404, json={"detail": "Not Found"}), ConfigurationError),
        (lambda _: httpx.Response(502, text="Bad Gateway"), ConfigurationError),
    ],
)
async def test_what_is_wrong_is_told_by_class(
    connect: FakeConnect, answer: Callable[[httpx.Request], httpx.Response], expected: type[Exception]
) -> None:
    connect.answers = answer
    with pytest.raises(expected):
        await connect.client().version()


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.RemoteProtocolError("")]
)
async def test_nobody_there_is_an_error_that_may_pass(failure: httpx.HTTPError) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure

    client = KafkaConnect(httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(fail)))
    with pytest.raises(ServiceUnavailableError, match=URL):
        await client.version()


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host", "http://", "http://host:port", "http://[::1"])
async def test_what_is_no_address_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with open_kafka_connect(url):
            raise AssertionError(url)
    assert "--url" in caught.value.fix

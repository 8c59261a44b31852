"""The configuration files that compose and the native stack share fit the code and each other."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from rtrag.adapters.postgres.slot import SlotHealth
from rtrag.application.status import PipelineStatus
from rtrag.application.totals import Totals
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.http.metrics import QueryMetrics, metrics_text
from rtrag.entrypoints.stack import artifacts
from rtrag.entrypoints.stack.connect import connect_part, connector_environment
from rtrag.entrypoints.stack.kafka import kafka_part
from rtrag.entrypoints.stack.layout import Stack
from rtrag.entrypoints.stack.prometheus import localized
from rtrag.entrypoints.stack.properties import read_properties

ROOT = Path(__file__).parents[3]


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_init_sql_makes_the_documents_as_the_code_does() -> None:
    schema = text_of("src/rtrag/adapters/postgres/schema.sql")
    statements = schema.partition("\n\n")[2]
    assert statements.startswith("CREATE TABLE")
    assert statements in text_of("docker/postgres/init.sql")


def test_the_alerts_use_only_metrics_that_are_served() -> None:
    expressions = " ".join(re.findall(r"expr: (.*)", text_of("prometheus/alerts.yml")))
    used = set(re.findall(r"[a-z]+(?:_[a-z]+)+", expressions)) - {"histogram_quantile"}
    assert used
    assert used <= served_metrics()


def served_metrics() -> set[str]:
    slot = SlotHealth(
        exists=True,
        active=True,
        wal_status="reserved",
        invalidation_reason=None,
        retained_bytes=1,
        lag_bytes=1,
        safe_wal_size=1,
    )
    status = PipelineStatus(
        phase="live",
        ready=True,
        problems=(),
        epoch=1,
        visible_lsn="0/0",
        durable_lsn="0/0",
        received_lsn="0/0",
        lag_ms=0.0,
        counts={"documents": 1, "tombstones": 0, "chunks": 1},
        copying=(),
        dead_letters=0,
        slot=asdict(slot),
        totals=Totals().snapshot(),
        model="none",
    )
    lines = metrics_text(status, QueryMetrics()).splitlines()
    return {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}


def test_each_job_of_prometheus_gets_its_address_here() -> None:
    stack = Stack(root=ROOT, data=Path("/data"), port_offset=100)
    text = localized(text_of("docker/prometheus/prometheus.yml"), stack)
    assert re.findall(r'job_name: (\S+)|"targets": \["(.*?)"\]', text) == [
        ("update-service", ""),
        ("", "127.0.0.1:8102"),
        ("query-service", ""),
        ("", "127.0.0.1:8103"),
        ("prometheus", ""),
        ("", "127.0.0.1:9191"),
    ]
    assert "dns_sd_configs" not in text


def test_a_job_without_a_line_to_replace_is_an_error() -> None:
    stack = Stack(root=ROOT, data=Path("/data"))
    with pytest.raises(CommandError, match=r"Job query-service .* has 0 lines"):
        localized("scrape_configs:\n  - job_name: query-service\n    metrics_path: /metrics\n", stack)


def test_with_and_without_zookeeper_the_broker_has_the_same_settings() -> None:
    kraft = read_properties(text_of("docker/kafka/server.properties"))
    zookeeper = read_properties(text_of("docker/kafka/server-zookeeper.properties"))
    own = {name for name in kraft if name.startswith(("process.", "node.", "controller.", "share."))}
    places = {"listeners", "listener.security.protocol.map"}
    assert {name: kraft[name] for name in kraft.keys() - own - places} == {
        name: zookeeper[name] for name in zookeeper.keys() - {"broker.id"} - places if not name.startswith("zookeeper.")
    }


def test_the_largest_message_is_the_same_all_along_the_way() -> None:
    broker = read_properties(text_of("docker/kafka/server.properties"))
    connect = read_properties(text_of("docker/connect/connect-distributed.properties"))
    assert broker["message.max.bytes"] == broker["replica.fetch.max.bytes"] == connect["producer.max.request.size"]


def test_the_broker_makes_no_topics_by_itself() -> None:
    assert read_properties(text_of("docker/kafka/server.properties"))["auto.create.topics.enable"] == "false"


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Stack, dict[str, str], dict[str, str]]:
    """A stack whose broker has been formatted, and the properties that it and Connect are started with."""
    stack = Stack(root=ROOT, data=tmp_path, port_offset=100)
    (stack.folder("kafka") / "data").mkdir()
    (stack.folder("kafka") / "data" / "meta.properties").touch()
    kafka_part(stack).prepare()
    connect_part(stack).prepare()
    broker = (stack.folder("kafka") / "server.properties").read_text()
    worker = (stack.folder("connect") / "connect-distributed.properties").read_text()
    return stack, read_properties(broker), read_properties(worker)


def test_the_native_broker_and_worker_differ_from_compose_only_in_places(
    prepared: tuple[Stack, dict[str, str], dict[str, str]],
) -> None:
    _, broker, worker = prepared
    assert changed(broker, "docker/kafka/server.properties") == {
        "controller.quorum.voters",
        "listeners",
        "advertised.listeners",
        "inter.broker.listener.name",
        "log.dirs",
    }
    assert changed(worker, "docker/connect/connect-distributed.properties") == {
        "bootstrap.servers",
        "listeners",
        "rest.advertised.host.name",
        "rest.advertised.port",
        "plugin.path",
    }


def changed(found: dict[str, str], path: str) -> set[str]:
    shared = read_properties(text_of(path))
    assert found.keys() == shared.keys()  # a misspelt name would have been added
    return {name for name in shared if shared[name] != found[name]}


def test_the_native_broker_and_worker_listen_on_loopback_only(
    prepared: tuple[Stack, dict[str, str], dict[str, str]],
) -> None:
    _, broker, worker = prepared
    listeners = f"{broker['listeners']},{worker['listeners']}".split(",")
    assert listeners == ["OUTSIDE://127.0.0.1:9194", "CONTROLLER://127.0.0.1:9195", "http://127.0.0.1:8184"]


def test_a_connector_may_read_what_the_worker_is_given_and_nothing_else() -> None:
    pattern = read_properties(text_of("docker/connect/connect-distributed.properties"))[
        "config.providers.env.param.allowlist.pattern"
    ]
    names = connector_environment(Stack(root=ROOT, data=Path("/data")))
    assert all(re.fullmatch(pattern, name) for name in names)
    assert not re.fullmatch(pattern, "OPENAI_API_KEY")


@pytest.mark.parametrize("name", ["kafka", "zookeeper", "debezium"])
def test_each_pom_pins_its_versions(name: str) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.Final)?", artifacts.version(ROOT, name))
    assert not re.search(r"<version>[^<]*(?:LATEST|RELEASE|SNAPSHOT|\[|,)", text_of(f"stack/{name}/pom.xml"))

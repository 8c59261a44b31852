"""Compose, the configuration files it mounts, the native stack and the settings say the same."""

import json
import re
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from rtrag.config import KafkaSource, QdrantIndex, Settings, load_settings
from rtrag.entrypoints.stack import artifacts
from rtrag.entrypoints.stack.properties import read_properties
from unit.deployment.compose import BASE, OURS, ROOT, ZOOKEEPER, mounted, mounts, ports, read_yaml, services, text_of

BROKERS = [(BASE,), (BASE, ZOOKEEPER)]
PROPERTIES = {1: "docker/kafka/server.properties", 2: "docker/kafka/server-zookeeper.properties"}
CONNECT = "docker/connect/connect-distributed.properties"
each_broker = pytest.mark.parametrize("shape", BROKERS, ids=["kraft", "zookeeper"])


def tag(service: dict[str, Any]) -> str:
    return str(service["image"]).rpartition(":")[2]


def listeners(value: str) -> dict[str, tuple[str, int]]:
    parts = re.findall(r"(\w+)://([^:,]*):(\d+)", value)
    return {name: (host, int(port)) for name, host, port in parts}


def settings_of(name: str) -> Settings:
    """The settings that a service finds."""
    environment = services()[name]["environment"]
    assert mounted(services()[name], environment["RTRAG_CONFIG"]) == "./docker/rtrag.toml"
    return load_settings(ROOT / "docker/rtrag.toml", environment)


def test_the_versions_are_those_of_the_native_stack() -> None:
    assert tag(services()["kafka"]) == artifacts.version(ROOT, "kafka")
    assert tag(services()["debezium"]) == artifacts.version(ROOT, "debezium")
    older = services(BASE, ZOOKEEPER)
    assert tag(older["kafka"]) == tag(older["zookeeper"]) == artifacts.version(ROOT, "zookeeper")


@each_broker
def test_the_broker_is_found_from_outside_and_from_the_other_services(shape: tuple[str, ...]) -> None:
    found = services(*shape)
    broker = read_properties(text_of(PROPERTIES[len(shape)]))
    listening, advertised = listeners(broker["listeners"]), listeners(broker["advertised.listeners"])
    ((_, outside, inside),) = ports(found["kafka"])
    assert listening["OUTSIDE"] == ("", inside)
    assert advertised["OUTSIDE"] == ("localhost", int(outside))
    assert listening["INTERNAL"] == ("", 29092)
    assert advertised["INTERNAL"] == ("kafka", 29092)
    internal = {found[name]["environment"]["KAFKA_BOOTSTRAP_SERVERS"] for name in OURS}
    assert internal == {read_properties(text_of(CONNECT))["bootstrap.servers"]} == {"kafka:29092"}


@each_broker
def test_a_tool_in_the_brokers_container_finds_the_broker_where_it_is_sent(shape: tuple[str, ...]) -> None:
    broker = read_properties(text_of(PROPERTIES[len(shape)]))
    advertised = listeners(broker["advertised.listeners"])
    assert listeners(broker["listeners"])["TOOLS"] == advertised["TOOLS"] == advertised["OUTSIDE"]


@each_broker
def test_the_broker_reads_the_file_and_keeps_its_log_in_the_volume(shape: tuple[str, ...]) -> None:
    broker = services(*shape)["kafka"]
    file = broker["command"][-1] if "command" in broker else "/mnt/shared/config/server.properties"
    assert mounted(broker, file) == f"./{PROPERTIES[len(shape)]}"
    folder = read_properties(text_of(PROPERTIES[len(shape)]))["log.dirs"]
    assert mounted(broker, folder) == ("kafka-data" if len(shape) == 1 else "kafka-zookeeper-data")


def test_zookeeper_listens_where_the_broker_looks_and_keeps_its_data_in_the_volume() -> None:
    service = services(BASE, ZOOKEEPER)["zookeeper"]
    file = mounted(service, service["command"][-1])
    properties = read_properties(text_of(file))
    ((_, _, inside),) = ports(service)
    assert read_properties(text_of(PROPERTIES[2]))["zookeeper.connect"] == f"zookeeper:{properties['clientPort']}"
    assert properties["clientPort"] == str(inside)
    assert mounted(service, properties["dataDir"]) == "zookeeper-data"
    (word,) = re.findall(r"echo (\w+)", service["healthcheck"]["test"][1])
    assert word in properties["4lw.commands.whitelist"].split(",")


@pytest.mark.parametrize(("shape", "name"), [((BASE,), "kafka"), ((BASE,), "debezium"), (BROKERS[1], "zookeeper")])
def test_java_logs_as_the_file_says_that_is_mounted_for_it(shape: tuple[str, ...], name: str) -> None:
    service = services(*shape)[name]
    file = service["environment"]["KAFKA_LOG4J_OPTS"].partition("=")[2].removeprefix("file:")
    assert mounted(service, file).startswith("./docker/")


def test_connect_is_reached_under_the_name_of_its_service() -> None:
    service = services()["debezium"]
    assert mounted(service, service["entrypoint"][-1]) == f"./{CONNECT}"
    properties = read_properties(text_of(CONNECT))
    ((_, _, inside),) = ports(service)
    assert properties["rest.advertised.host.name"] in services()
    assert properties["rest.advertised.port"] == str(inside)
    assert properties["listeners"] == f"http://:{inside}"
    assert f":{inside}/" in service["healthcheck"]["test"][-1]


def connector(environment: dict[str, str]) -> dict[str, str]:
    """The connector as it is posted, what it names filled in from the environment of Kafka Connect."""
    text = text_of("debezium/connector-config.json")
    posted = json.loads(re.sub(r"\$\{env:(\w+)\}", lambda found: environment[found[1]], text))
    return dict(posted["config"])


@pytest.mark.parametrize("environ", [{}, {"DEBEZIUM_PASSWORD": "another"}])
def test_the_connector_finds_the_database_that_init_sql_makes(environ: dict[str, str]) -> None:
    found = services(environ=environ)
    given = connector(found["debezium"]["environment"])
    ((_, _, inside),) = ports(found["postgres"])
    assert (given["database.hostname"], given["database.port"]) == ("postgres", str(inside))
    init = text_of("docker/postgres/init.sql")
    (by_default,) = re.findall(r"\\set debezium_password (\S+)", init)
    assert found["postgres"]["environment"]["DEBEZIUM_PASSWORD"] == environ.get("DEBEZIUM_PASSWORD", by_default)
    assert given["database.password"] == found["postgres"]["environment"]["DEBEZIUM_PASSWORD"]
    assert f"CREATE ROLE {given['database.user']}'" in init
    assert f"\\connect {given['database.dbname']}\n" in init
    assert f"CREATE PUBLICATION {given['publication.name']} " in init


def test_every_part_of_the_address_is_given_to_connectors() -> None:
    given = services()["debezium"]["environment"]
    posted = connector(given)
    for name in ("hostname", "port", "dbname", "user", "password"):
        assert given[f"DEBEZIUM_DATABASE_{name.upper()}"] == posted[f"database.{name}"]


@pytest.mark.parametrize("environ", [{}, {"RAG_PASSWORD": "another"}])
def test_our_services_log_in_as_the_owner_that_init_sql_makes(environ: dict[str, str]) -> None:
    found = services(environ=environ)
    ((_, _, inside),) = ports(found["postgres"])
    init = text_of("docker/postgres/init.sql")
    (by_default,) = re.findall(r"\\set rag_password (\S+)", init)
    assert found["postgres"]["environment"]["RAG_PASSWORD"] == environ.get("RAG_PASSWORD", by_default)
    for name in OURS:
        address = conninfo_to_dict(found[name]["environment"]["POSTGRES_URL"])
        assert (address["host"], address["port"]) == ("postgres", str(inside))
        assert address["password"] == found["postgres"]["environment"]["RAG_PASSWORD"]
        assert f"CREATE ROLE {address['user']}'" in init
        assert f"CREATE DATABASE {address['dbname']} OWNER {address['user']}'" in init


def test_every_password_that_init_sql_asks_for_is_given_to_it() -> None:
    asked = re.findall(r"\\getenv \w+ (\w+)", text_of("docker/postgres/init.sql"))
    environment = services(environ={name: f"given-{name}" for name in asked})["postgres"]["environment"]
    assert {name: environment[name] for name in asked} == {name: f"given-{name}" for name in asked}


def test_postgres_is_started_with_the_settings_for_logical_decoding() -> None:
    service = services()["postgres"]
    file = mounted(service, service["command"][-1].partition("=")[2])
    assert "\nwal_level = logical\n" in text_of(file)
    assert mounted(service, "/docker-entrypoint-initdb.d/init.sql") == "./docker/postgres/init.sql"


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_is_given_are_settings_of_the_distributed_form(name: str) -> None:
    settings = settings_of(name)
    source, (collection,) = settings.source, settings.mapped_collections()
    assert isinstance(source, KafkaSource)
    assert isinstance(settings.index, QdrantIndex)
    assert (collection.name, collection.writable) == ("documents", True)
    assert settings.http.host == "0.0.0.0"  # noqa: S104 - a container's only address but loopback
    assert settings.http.allowed_hosts == (name,)
    posted = connector(services()["debezium"]["environment"])
    assert (source.topic_prefix, source.slot) == (posted["topic.prefix"], posted["slot.name"])
    assert {table.table for table in collection.tables} == {posted["table.include.list"]}


def test_the_addresses_of_qdrant_and_redis_are_those_of_the_services() -> None:
    for name in OURS:
        settings = settings_of(name)
        assert settings.redis_url is not None
        assert settings.qdrant_url == f"http://qdrant:{ports(services()['qdrant'])[0][2]}"
        assert settings.redis_url.get_secret_value() == f"redis://redis:{ports(services()['redis'])[0][2]}/0"
    redis = services()["redis"]
    assert f"\nport {ports(redis)[0][2]}\n" in text_of(mounted(redis, redis["command"][-1]))


def test_our_services_listen_where_they_are_published_and_checked() -> None:
    listening = {"update-service": "update_port", "query-service": "query_port"}
    for name, setting in listening.items():
        service = services()[name]
        ((_, _, inside),) = ports(service)
        assert getattr(settings_of(name).http, setting) == inside
        assert service["command"] == ["serve", name.removesuffix("-service")]
        assert service["healthcheck"]["test"][-1] == str(inside)


def test_prometheus_asks_every_replica_of_both_services_where_it_listens() -> None:
    jobs = {job["job_name"]: job for job in read_yaml("docker/prometheus/prometheus.yml")["scrape_configs"]}
    for name in OURS:
        (discovery,) = jobs[name]["dns_sd_configs"]
        assert (discovery["names"], discovery["type"]) == ([name], "A")
        assert discovery["port"] == ports(services()[name])[0][2]
    (itself,) = jobs["prometheus"]["static_configs"]
    assert itself["targets"] == [f"localhost:{ports(services()['prometheus'])[0][2]}"]


def test_prometheus_finds_its_alerts_beside_its_configuration() -> None:
    service = services()["prometheus"]
    file = service["command"][0].partition("=")[2]
    assert mounted(service, file) == "./docker/prometheus/prometheus.yml"
    for rules in read_yaml("docker/prometheus/prometheus.yml")["rule_files"]:
        assert mounted(service, f"{file.rpartition('/')[0]}/{rules}") == "./prometheus/alerts.yml"


def test_grafana_asks_prometheus_and_shows_the_dashboards_of_the_checkout() -> None:
    service = services()["grafana"]
    provisioned = {what: where for what, where, _ in mounts(service)}
    assert provisioned["./docker/grafana/provisioning/datasources"] == "/etc/grafana/provisioning/datasources"
    assert provisioned["./docker/grafana/provisioning/dashboards"] == "/etc/grafana/provisioning/dashboards"
    (source,) = read_yaml("docker/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == f"http://prometheus:{ports(services()['prometheus'])[0][2]}"
    (provider,) = read_yaml("docker/grafana/provisioning/dashboards/files.yml")["providers"]
    assert provider["options"]["path"] == provisioned["./grafana/dashboards"]
    assert service["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "admin"


def test_the_head_of_the_file_explains_every_variable_that_compose_reads() -> None:
    text = "".join(text_of(name) for name in (BASE, ZOOKEEPER))
    read = set(re.findall(r"\$\{(\w+):-", text))
    head = text_of(BASE).partition("\nname:")[0]
    assert read
    assert not [name for name in read if f"{name} " not in head.replace("\n", " ")]

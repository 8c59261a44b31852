"""Record what Debezium writes into Kafka for changes of every kind, as test data: tests/data/debezium.

Needs a running stack. Makes a database, a connector and topics of its own, and removes them in the end:

    python scripts/record_debezium.py --postgres postgresql://rag_user:rag_pass@localhost:5434/rag_db \
        --connect http://localhost:8084 --kafka localhost:9094

Writes ``bare.jsonl`` and ``with-schemas.jsonl`` (a record a line, in the order of arrival) and ``rows.json``: the types
of the columns, and the values as PostgreSQL prints them, which the direct capture would have received.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DATA = Path(__file__).parents[1] / "tests/data/debezium"
OPTIONS = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "plugin.name": "pgoutput",
    "publication.autocreate.mode": "filtered",
    "schema.include.list": "public",
    "decimal.handling.mode": "string",
    "time.precision.mode": "microseconds",
    "interval.handling.mode": "string",
    "binary.handling.mode": "hex",
    "hstore.handling.mode": "map",
    "include.unknown.datatypes": "true",
    "skipped.operations": "none",
    "extended.headers.enabled": "false",
    "heartbeat.interval.ms": "500",
    "poll.interval.ms": "20",
    "provide.transaction.metadata": "false",
    "topic.creation.default.partitions": "2",
    "topic.creation.default.replication.factor": "1",
    **{f"{part}.converter": "org.apache.kafka.connect.json.JsonConverter" for part in ("key", "value", "header")},
}
END = "end of the recording"
SESSION = "-c DateStyle=ISO,YMD -c IntervalStyle=postgres -c TimeZone=UTC -c bytea_output=hex -c extra_float_digits=1"
TYPES = """
SELECT a.attname,
       CASE WHEN t.typtype = 'e' THEN 'enum'
            WHEN e.typtype = 'e' AND t.typcategory = 'A' THEN 'enum[]'
            WHEN t.typtype = 'd' AND b.typcategory <> 'A' THEN format_type(t.typbasetype, t.typtypmod)
            ELSE format_type(a.atttypid, a.atttypmod) END,
       a.atttypid::bigint
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type e ON e.oid = t.typelem LEFT JOIN pg_type b ON b.oid = t.typbasetype
WHERE a.attrelid = 'kinds'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


def main() -> None:
    """Record both forms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", required=True, help="URL of a role that may make databases and replicate")
    parser.add_argument("--connect", required=True, help="URL of Kafka Connect")
    parser.add_argument("--kafka", required=True, help="bootstrap servers")
    parser.add_argument("--connect-postgres", help="host:port of PostgreSQL as Kafka Connect sees it")
    arguments = parser.parse_args()
    DATA.mkdir(parents=True, exist_ok=True)
    for schemas, name in ((False, "bare"), (True, "with-schemas")):
        with database(arguments.postgres) as url:
            records, rows = recorded(arguments, url, schemas=schemas)
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        (DATA / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{name}.jsonl: {len(lines)} records")
        if not schemas:
            (DATA / "rows.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def database(url: str) -> Iterator[str]:
    """A database of its own, dropped in the end."""
    name = f"recording_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield make_conninfo(url, dbname=name, options=SESSION)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def recorded(arguments: argparse.Namespace, url: str, *, schemas: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The records of all that happens, and the rows of all types as PostgreSQL prints them."""
    script = dict(_parts((DATA / "script.sql").read_text()))
    prefix = f"{conninfo_to_dict(url)['dbname']}.1"
    with psycopg.connect(url, autocommit=True) as connection, httpx.Client(base_url=arguments.connect) as connect:
        connection.execute(script["tables"].encode())
        connection.execute(script["rows"].encode())
        rows = _rows(connection)
        with _connector(connect, _configuration(arguments, url, prefix, schemas=schemas)):
            _records(arguments.kafka, prefix, '"snapshot":"last"')  # the snapshot is taken
            connection.execute(b"DELETE FROM kinds")
            connection.execute(script["rows"].encode())  # the same rows once more, streamed
            for statement in script["changes"].split(";\n"):
                if statement.strip():
                    connection.execute(statement.encode())
            connection.execute(f"SELECT pg_logical_emit_message(true, 'rtrag', '{END}')".encode())
            records = _records(arguments.kafka, prefix, END.encode().hex(), heartbeats=2)
        slot = prefix.replace(".", "_")
        connection.execute(f"SELECT pg_drop_replication_slot('{slot}')".encode())
    _drop_topics(arguments.kafka, prefix)
    for record in records:
        for part in ("topic", "key", "value"):
            record[part] = record[part] and record[part].replace(prefix, "rag.1")
    return records, rows


def _parts(script: str) -> Iterator[tuple[str, str]]:
    for part in script.split("-- part: ")[1:]:
        name, _, statements = part.partition("\n")
        yield name.strip(), statements


def _configuration(arguments: argparse.Namespace, url: str, prefix: str, *, schemas: bool) -> dict[str, str]:
    given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    host, _, port = (arguments.connect_postgres or f"{given['host']}:{given.get('port', '5432')}").partition(":")
    slot = prefix.replace(".", "_")
    return {
        **OPTIONS,
        **{f"{part}.converter.schemas.enable": str(schemas).lower() for part in ("key", "value", "header")},
        "name": slot,
        "database.hostname": host,
        "database.port": port,
        "database.user": given["user"],
        "database.password": given.get("password", ""),
        "database.dbname": given["dbname"],
        "topic.prefix": prefix,
        "slot.name": slot,
        "publication.name": slot,
    }


@contextmanager
def _connector(connect: httpx.Client, configuration: dict[str, str]) -> Iterator[None]:
    path = f"/connectors/{configuration['name']}"
    connect.put(f"{path}/config", json=configuration, timeout=60).raise_for_status()
    try:
        yield
    finally:
        connect.delete(path, timeout=60).raise_for_status()
        time.sleep(3)  # its slot is released after the answer


def _records(servers: str, prefix: str, until: str, heartbeats: int = 0) -> list[dict[str, Any]]:
    """All records so far, in the order of their times, once one contains ``until``."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "recording", "enable.auto.commit": False})
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            found = _read(consumer, prefix)
            last = [place for place, record in enumerate(found) if until in (record["value"] or "")]
            beats = sum("heartbeat" in record["topic"] for record in found)
            if last and beats >= heartbeats:
                return found
        raise SystemExit(f"no record with {until!r} came; look at the connector's status")
    finally:
        consumer.close()


def _read(consumer: Consumer, prefix: str) -> list[dict[str, Any]]:
    topics = {name: topic for name, topic in consumer.list_topics(timeout=30).topics.items() if prefix in name}
    consumer.assign([TopicPartition(name, number, 0) for name, topic in topics.items() for number in topic.partitions])
    found: list[dict[str, Any]] = []
    quiet = time.monotonic() + 2
    while time.monotonic() < quiet:
        message = consumer.poll(0.2)
        if message is None or message.error():
            continue
        if "heartbeat" not in (message.topic() or ""):
            quiet = max(quiet, time.monotonic() + 0.5)
        key, value = message.key(), message.value()
        found.append(
            {
                "topic": message.topic(),
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp_ms": message.timestamp()[1],
                "key": key and bytes(key).decode(),
                "value": value and bytes(value).decode(),
                "headers": [[name, _text(content)] for name, content in _pairs(message)],
            }
        )
    return sorted(found, key=lambda record: record["timestamp_ms"])


def _pairs(message: Message) -> list[tuple[str, Any]]:
    found: Any = message.headers() or []
    return list(found)


def _text(content: bytes | str | None) -> str:
    return content.decode() if isinstance(content, bytes) else content or ""


def _rows(connection: psycopg.Connection) -> dict[str, Any]:
    types = connection.execute(TYPES.encode()).fetchall()
    # As the types' output functions print them: a cast to text would write true, not t, and strip character(5).
    columns = ", ".join(f'CASE WHEN "{name}" IS NOT NULL THEN format(\'%s\', "{name}") END' for name, _, _ in types)
    shown = connection.execute(f"SELECT {columns} FROM kinds ORDER BY id".encode()).fetchall()
    names = [name for name, _, _ in types]
    return {
        "types": {name: kind for name, kind, _ in types},
        "oids": {name: oid for name, _, oid in types},
        "rows": [dict(zip(names, row, strict=True)) for row in shown],
    }


def _drop_topics(servers: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    names = [name for name in admin.list_topics(timeout=30).topics if prefix in name]
    for waiting in admin.delete_topics(names).values():
        waiting.result()


if __name__ == "__main__":
    main()

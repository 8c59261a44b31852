"""Where services meet: a database with its connector, a Qdrant server or its stand-in, a Redis."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from benchmarks.stack import Stack as Addresses
from benchmarks.stack import Way, way

from integration.redis.server import REDIS, RedisServer
from integration.redis.server import running as running_redis
from integration.services.service import Role, Service, running
from qdrant_stand_in.process import StandIn

LARGEST_DOCUMENT = 20_000
COLLECTIONS = json.dumps(
    [
        {
            "name": "documents",
            "tables": [
                {
                    "table": "public.documents",
                    "key": ["id"],
                    "title": "title",
                    "metadata": ["metadata"],
                    "version": "version",
                    "writable": True,
                }
            ],
        }
    ]
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the services of one system share. ``stand_in`` is None where the index is on a server of somebody else."""

    way: Way
    qdrant_url: str
    stand_in: StandIn | None
    redis: RedisServer
    folder: Path
    numbers: "count[int]" = field(default_factory=count)

    @property
    def settings(self) -> Mapping[str, str]:
        """What every service is told."""
        return {
            **self.way.environment,
            "QDRANT_URL": self.qdrant_url,
            "RTRAG_INDEX__COLLECTION": self.way.name,
            "REDIS_URL": self.redis.url,
            "RTRAG_COLLECTIONS": COLLECTIONS,
            "RTRAG_INDEXING__MAX_DOCUMENT_BYTES": str(LARGEST_DOCUMENT),
            "RTRAG_QUERY__FRESHNESS_MAX_MS": "60000",
        }

    def service(self, role: Role, **settings: str) -> AbstractContextManager[Service]:
        """One more service."""
        return running(role, self.folder / f"{role}-{next(self.numbers)}", {**self.settings, **settings})

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement in a transaction of its own; its rows."""
        with psycopg.connect(self.way.postgres_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def put(self, key: str, content: str) -> None:
        """Write a document in SQL."""
        self.sql(
            "INSERT INTO documents (id, content) VALUES (%s, %s) "
            "ON CONFLICT (id) DO UPDATE SET content = excluded.content",
            key,
            content,
        )

    def now(self) -> str:
        """The LSN that everything committed so far lies below."""
        return str(self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0])


@contextmanager
def place_at(addresses: Addresses, qdrant_url: str, stand_in: StandIn | None, folder: Path) -> Iterator[Place]:
    """A place of its own on a stack, removed at the end. There is one document, so that there is a topic."""
    with way(addresses) as own, running_redis(REDIS, folder) as redis:
        own.connect()
        place = Place(way=own, qdrant_url=qdrant_url, stand_in=stand_in, redis=redis, folder=folder)
        place.put("first", "So that there is a topic.")
        yield place

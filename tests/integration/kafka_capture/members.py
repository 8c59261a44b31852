"""Members of a consumer group in this process, each with the real capture and an indexer over an index they share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.stack import Way

from application_bench import Bench
from integration.kafka_capture.place import has_topic, until
from rtrag.adapters.kafka.capture import Database, KafkaCapture, Start, open_kafka_capture
from rtrag.adapters.kafka.consumer import ConsumerSettings, GroupConsumer
from rtrag.adapters.kafka.envelope import EnvelopeDecoder, Table
from rtrag.adapters.kafka.poison import PoisonTopic
from rtrag.adapters.kafka.values import converter_of
from rtrag.adapters.kafka.watermark import Server
from rtrag.adapters.postgres.source_database import SourceDatabase, open_source_database
from rtrag.application.clean_up import CleanUp
from rtrag.application.freshness import Freshness
from rtrag.application.ingest import Ingest, IngestSettings, Monitor
from rtrag.application.problems import Problems
from rtrag.domain.change import ChangeBatch, ChangeEvent
from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.manifest import SourceState
from rtrag.domain.mapping import TableMapping
from rtrag.ports.changes import BatchLimits

IDENTITY = ChunkingIdentity(chunker_version="1", model_id="none", dimensions=1)
DOCUMENTS = TableMapping(table="public.documents", key_columns=("id",), title="title", metadata=("metadata",))
PATIENCE_SECONDS = 60


@dataclass(slots=True)
class Member:
    """A member of the group. ``bench`` indexes, into an index that others may share."""

    capture: KafkaCapture
    bench: Bench
    ingest: Ingest

    @property
    def consumer(self) -> GroupConsumer:
        return self.capture.source._consumer

    async def pull(self, records: int = 256) -> ChangeBatch:
        """The next batch that has records, at most so many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                batch = await self.capture.source.next_batch(BatchLimits(events=records))
                if batch.size or batch.events:
                    return batch

    async def apply(self, batch: ChangeBatch) -> None:
        """Index its changes, as the ingest loop does with what it has pulled."""
        await self.ingest._process(batch, 0.0, self.capture)

    async def confirm(self, batch: ChangeBatch) -> None:
        """As after a flush."""
        await self.capture.source.confirm(0, batch.mark)

    async def drain(self) -> list[ChangeEvent]:
        """Apply and confirm everything committed so far."""
        events: list[ChangeEvent] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            end = await self.capture.source.barrier()
            while True:
                batch = await self.capture.source.next_batch(BatchLimits())
                await self.apply(batch)
                await self.confirm(batch)
                events.extend(batch.events)
                if batch.checkpoint is not None and batch.checkpoint.lsn >= end:
                    return events

    async def until_assigned(self, enough: Callable[[int], bool] = bool) -> None:
        """Until it has partitions, so many that it is enough."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not enough(len(self.consumer.assigned)):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def member(
    way: Way,
    bench: Bench | None = None,
    mapping: TableMapping = DOCUMENTS,
    options: Mapping[str, Any] | None = None,
    group: str | None = None,
) -> AsyncIterator[Member]:
    """Join the group, as the bootstrap does, once the connector has made the topic; leave it at the end."""
    topic = f"{way.prefix}.{mapping.table}"
    await asyncio.to_thread(until, lambda: has_topic(way, topic), "the connector has made the topic")
    async with open_source_database(way.postgres_url, (mapping,)) as database:
        settings = ConsumerSettings(
            bootstrap_servers=way.stack.bootstrap_servers,
            group=group or way.name,
            topics=(topic,),
            options={**(options or {})},
        )
        poison = PoisonTopic(settings.bootstrap_servers, {}, way.prefix)
        opening = open_kafka_capture(settings, _decoder(way, database), _start(way, database), _asked(way, database),
                                     poison.keep)  # fmt: skip
        async with opening as capture:
            bench = bench or Bench()
            yield Member(capture, bench, _ingest(bench))


def _ingest(bench: Bench) -> Ingest:
    return Ingest(
        index=bench.index,
        indexer=bench.indexer,
        letters=bench.letters,
        freshness=Freshness(),
        clean_up=CleanUp(bench.index),
        monitor=Monitor(settings=IngestSettings(), totals=bench.totals, problems=Problems()),
    )


def _decoder(way: Way, database: SourceDatabase) -> EnvelopeDecoder:
    return EnvelopeDecoder(
        way.prefix,
        [
            Table(
                mapping=mapping,
                converters={name: converter_of(kind) for name, kind in database.column_types[mapping.table].items()},
            )
            for mapping in database.mappings
        ],
    )


def _start(way: Way, database: SourceDatabase) -> Start:
    state = SourceState(
        name="postgres",
        system_identifier=database.identity.system_identifier,
        timeline=database.identity.timeline,
        slot=way.name,
        epoch=1,
        durable_lsn=0,
        identity=IDENTITY,
    )
    return Start(state=state, recorded=state, copied={})


def _asked(way: Way, database: SourceDatabase) -> Database:
    return Database(
        rows=database.rows,
        rows_apart=database.rows_apart,
        server=Server(point=database.positions.point, confirmed=lambda: database.positions.confirmed(way.name)),
        slot_health=lambda: database.slot_health(way.name),
    )

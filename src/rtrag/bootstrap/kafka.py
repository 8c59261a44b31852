"""Capture through Debezium and Kafka, joined with the reads that it needs from the source database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from rtrag.adapters.kafka.capture import Database, KafkaCapture, Start, open_kafka_capture, refuse_told_offsets
from rtrag.adapters.kafka.consumer import ConsumerSettings
from rtrag.adapters.kafka.envelope import EnvelopeDecoder, Table
from rtrag.adapters.kafka.poison import PoisonTopic
from rtrag.adapters.kafka.values import converter_of
from rtrag.adapters.kafka.watermark import Server
from rtrag.adapters.postgres.source_database import SourceDatabase, open_source_database
from rtrag.bootstrap.core import SOURCE, Core
from rtrag.config import KafkaSource
from rtrag.domain.manifest import SourceState


@asynccontextmanager
async def open_from_kafka(
    core: Core, source: KafkaSource, recorded: SourceState | None, copied: Mapping[str, int]
) -> AsyncIterator[KafkaCapture]:
    """Open capture; what it raises is the adapters'."""
    async with open_source_database(core.postgres_url, tuple(core.composer.mappings.values())) as database:
        state = SourceState(
            name=SOURCE,
            system_identifier=database.identity.system_identifier,
            timeline=database.identity.timeline,
            slot=source.slot,
            epoch=source.epoch,
            durable_lsn=recorded.durable_lsn if recorded is not None and recorded.epoch == source.epoch else 0,
            identity=core.composer.chunker.identity,
        )
        consumer = ConsumerSettings(
            bootstrap_servers=core.settings.kafka_bootstrap_servers or "",
            group=source.group,
            topics=tuple(f"{source.topic_prefix}.{mapping.table}" for mapping in database.mappings),
            options=source.options,
        )
        if not _known(recorded, source.epoch) and not _known(await core.index.source(SOURCE), source.epoch):
            await refuse_told_offsets(consumer, source.epoch)
        poison = PoisonTopic(consumer.bootstrap_servers, source.options, source.topic_prefix)
        start = Start(state=state, recorded=recorded, copied=copied)
        decoder = _decoder(source, database)
        async with open_kafka_capture(consumer, decoder, start, _asked(database, source), poison.keep) as capture:
            yield capture


def _known(recorded: SourceState | None, epoch: int) -> bool:
    return recorded is not None and recorded.epoch >= epoch


def _decoder(source: KafkaSource, database: SourceDatabase) -> EnvelopeDecoder:
    tables = [
        Table(
            mapping=mapping,
            converters={name: converter_of(kind) for name, kind in database.column_types[mapping.table].items()},
        )
        for mapping in database.mappings
    ]
    return EnvelopeDecoder(source.topic_prefix, tables)


def _asked(database: SourceDatabase, source: KafkaSource) -> Database:
    return Database(
        rows=database.rows,
        rows_apart=database.rows_apart,
        server=Server(point=database.positions.point, confirmed=lambda: database.positions.confirmed(source.slot)),
        slot_health=lambda: database.slot_health(source.slot),
    )

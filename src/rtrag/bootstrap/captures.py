"""The capture that the settings ask for: the log read directly, or Debezium's records in Kafka."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from rtrag.adapters.postgres.capture import LARGEST_VALUE, CaptureSettings, Recorded, open_postgres_capture
from rtrag.adapters.postgres.replication_stream import StreamTimes
from rtrag.bootstrap.core import SOURCE, Core
from rtrag.bootstrap.extras import needs_extra
from rtrag.config import KafkaSource, PostgresSource
from rtrag.domain.manifest import SourceState
from rtrag.ports.changes import Capture

STATUS_SECONDS = 1.0  # how often an idle server is asked where it stands: bounds what an answer says of its lag


def open_capture(
    core: Core, recorded: SourceState | None, copied: Mapping[str, int]
) -> AbstractAsyncContextManager[Capture]:
    """Open capture where the index stands; what it raises is the adapter's."""
    source = core.settings.source
    if isinstance(source, KafkaSource):
        with needs_extra("The source `kafka`"):
            from rtrag.bootstrap.kafka import open_from_kafka  # noqa: PLC0415 - its libraries are an extra
        return open_from_kafka(core, source, recorded, copied)
    return _from_log(core, source, recorded, copied)


def _from_log(
    core: Core, source: PostgresSource, recorded: SourceState | None, copied: Mapping[str, int]
) -> AbstractAsyncContextManager[Capture]:
    capture = CaptureSettings(
        url=core.postgres_url,
        mappings=tuple(core.composer.mappings.values()),
        name=SOURCE,
        slot=source.slot,
        publication=source.publication,
        times=StreamTimes(status_interval=STATUS_SECONDS),
        largest_value=max(core.settings.indexing.max_document_bytes, LARGEST_VALUE),
    )
    identity = core.composer.chunker.identity
    return open_postgres_capture(capture, Recorded(state=recorded, copied=copied, identity=identity))

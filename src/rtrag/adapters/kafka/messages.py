"""Messages of the client library, as records."""

from confluent_kafka import Message

from rtrag.adapters.kafka.records import RawRecord


def record_of(message: Message) -> RawRecord:
    """A record as it came."""
    key, value = message.key(), message.value()
    return RawRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=key.encode() if isinstance(key, str) else key,
        value=value.encode() if isinstance(value, str) else value,
        headers=_headers(message),
        timestamp_ms=message.timestamp()[1],
    )


def _headers(message: Message) -> tuple[tuple[str, bytes], ...]:
    found = message.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    return tuple((str(name), value if isinstance(value, bytes) else str(value or "").encode()) for name, value in pairs)

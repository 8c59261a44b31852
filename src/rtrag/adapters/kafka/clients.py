"""Making the client library's objects: its defaults for us, and what it complains of."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from rtrag.adapters.kafka.errors import REFUSED, error_of
from rtrag.domain.errors import ConfigurationError

_T = TypeVar("_T")
_DEFAULTS: Final[Mapping[str, Any]] = {
    "client.id": "rtrag",
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 2,  # what is worth telling comes to Complaints; of a broker that is away it would be line upon line
}
_REST_SECONDS: Final = 60.0
_log = logging.getLogger(__name__)


class Complaints:
    """Hears of a client's errors that belong to no request, of which a broker that is away brings several a second.

    Each kind is logged once a minute.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._logged: dict[int, float] = {}
        self.refusal: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.code() in REFUSED:
            self.refusal = error
        now = time.monotonic()
        if now - self._logged.get(error.code(), -math.inf) > _REST_SECONDS:
            self._logged[error.code()] = now
            _log.warning("kafka_error of=%r code=%s detail=%r", self._what, error.name(), error.str())


def made(
    kind: Callable[[dict[str, Any]], _T],
    bootstrap_servers: str,
    options: Mapping[str, Any],
    own: Mapping[str, Any],
    complaints: Complaints,
) -> _T:
    """A client with the user's ``options`` and, before them, our ``own``. Raises ConfigurationError."""
    configuration = {
        **_DEFAULTS,
        **options,
        **own,
        "bootstrap.servers": bootstrap_servers,
        "error_cb": complaints,
    }
    try:
        return kind(configuration)
    except KafkaException as exc:
        raise ConfigurationError(
            f"Kafka's client does not take its options: {error_of(exc).str()}.",
            fix="correct the options of the source (RTRAG_SOURCE__OPTIONS); they are librdkafka's",
        ) from exc

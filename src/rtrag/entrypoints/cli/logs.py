"""Logs of an instance: an event name with key-values, one line each, on the error stream.

The standard library's logging: structlog takes a third of a second to import (measured), which every start would pay.
"""

import logging
import sys
import time

PROBLEMS = "rtrag.problems"  # hears of each problem of the pipeline when it comes up and when it is gone
_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"


def configure_logs(level: int) -> None:
    """Write events of this level and above, with times in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in ("uvicorn.error", "httpx", "openai"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    for repeating in ("stamina", "psycopg"):  # tell of every attempt, where the problems tell of the cause
        logging.getLogger(repeating).setLevel(logging.ERROR)


def tell_problems(*, wanted: bool) -> None:
    """Whether problems come into the log: not while whoever waits for readiness shows them."""
    logging.getLogger(PROBLEMS).setLevel(logging.NOTSET if wanted else logging.ERROR)

"""Problems for callers who are not told what a dependency says of itself: which one is in trouble, and how.

What PostgreSQL, an embedding service or the index say names hosts, users, databases and folders.
"""

from collections.abc import Mapping

MAY_KNOW = "rtrag.may_know"
MISCONFIGURED = "The configuration of the service does not fit; its log has the cause under this request id."

_IN_SHORT = {  # how a problem begins, and what anybody may know of it
    "Starting": "Starting.",
    "The tables are being copied": "The tables are being copied.",
    "The stream brings all rows first": "The tables are being copied.",
    "Catching up": "Catching up with changes.",
    "Removing what a crash left behind": "Cleaning up after a crash.",
    "No stream of changes": "PostgreSQL: no stream of changes, reconnecting.",
    "There is no connection to PostgreSQL": "PostgreSQL: no connection.",
    "The embedded PostgreSQL has ended": "PostgreSQL: the server has ended, starting it again.",
    "PostgreSQL": "PostgreSQL: it failed or does not answer.",
    "Indexing is held up by the embedder": "Embedder: unavailable, retrying.",
    "Indexing is held up": "Indexing: held up by a dependency, retrying.",
    "Part of a copy, replay or repair is held up by the embedder": "Embedder: unavailable, retrying.",
    "Part of a copy, replay or repair is held up": "Indexing: held up by a dependency, retrying.",
    "Changes cannot be made durable": "Index: changes cannot be made durable, retrying.",
    "Changes are held up": "Changes are held up by PostgreSQL, Debezium or Kafka.",
    "The index is away": "Index: it does not answer.",
    "Nothing is indexed yet": "Nothing is indexed yet.",
    "The index is made with": "The services have different settings.",
    "Not all rows": "The tables are being copied.",
    "Since ": "No update service tells how far the index is.",
    "What a crash may have left": "Index: cleaning up is held up, retrying.",
    "The dead letters": "The dead letters cannot be read.",
    "Redis": "Redis does not answer.",
    "The index could not be compacted": "Index: could not be compacted.",
}
OTHERWISE = "Something needs attention; the log of the server says what."


def may_know(scope: Mapping[str, object]) -> bool:
    """Whether the caller may read what the log would tell it: hosts, users, folders.

    It sent a key; or none is configured and it calls from this machine.
    """
    asked = scope.get(MAY_KNOW)
    return callable(asked) and bool(asked())


def in_short(problem: str) -> str:
    """What anybody may know of a problem; of one that is not listed here, only that there is one."""
    return next((short for beginning, short in _IN_SHORT.items() if problem.startswith(beginning)), OTHERWISE)

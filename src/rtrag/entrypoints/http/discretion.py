"""Problems for callers who are not told what a dependency says of itself: which one is in trouble, and how.

What PostgreSQL, an embedding service or the index say names hosts, users, databases and folders.
"""

_IN_SHORT = {  # how a problem begins, and what anybody may know of it
    "Starting": "Starting.",
    "The tables are being copied": "The tables are being copied.",
    "Catching up": "Catching up with changes.",
    "Removing what a crash left behind": "Cleaning up after a crash.",
    "No stream of changes": "PostgreSQL: no stream of changes, reconnecting.",
    "There is no connection to PostgreSQL": "PostgreSQL: no connection.",
    "PostgreSQL": "PostgreSQL: it failed or does not answer.",
    "Indexing is held up by the embedder": "Embedder: unavailable, retrying.",
    "Indexing is held up": "Indexing: held up by a dependency, retrying.",
    "Part of a copy, replay or repair is held up by the embedder": "Embedder: unavailable, retrying.",
    "Part of a copy, replay or repair is held up": "Indexing: held up by a dependency, retrying.",
    "Changes cannot be made durable": "Index: changes cannot be made durable, retrying.",
    "The index could not be compacted": "Index: could not be compacted.",
}
OTHERWISE = "Something needs attention; the log of the server says what."


def in_short(problem: str) -> str:
    """What anybody may know of a problem; of one that is not listed here, only that there is one."""
    return next((short for beginning, short in _IN_SHORT.items() if problem.startswith(beginning)), OTHERWISE)

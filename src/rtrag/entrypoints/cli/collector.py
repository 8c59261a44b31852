"""Python's cyclic garbage collector, set for a server that keeps much in memory."""

import gc

# The defaults (700, 10, 10) walk over all that is remembered, 150 ms for 200,000 objects, while the memory fills,
# and look for cycles several times in each query. Nearly all our garbage has no cycles and goes without the collector;
# what has cycles is young: exceptions, cancelled tasks. A collection of 5,000 new objects takes up to 7 ms.
NEW_OBJECTS = 5_000
YOUNG_COLLECTIONS = 200
MIDDLE_COLLECTIONS = 1_000


def set_for_server() -> None:
    """Leave alone what starting has made, and look for cycles mostly among new objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG_COLLECTIONS, MIDDLE_COLLECTIONS)

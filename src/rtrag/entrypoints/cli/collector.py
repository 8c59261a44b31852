"""Python's cyclic garbage collector, set for a server that keeps much in memory."""

import gc

# The defaults (700, 10, 10) look for cycles several times in each query, and walk over everything that is remembered
# every few hundred: of the time from a commit to its visibility that took 40 %. Nearly all our garbage has no cycles
# and goes without the collector.
NEW_OBJECTS = 50_000
YOUNG_COLLECTIONS = 20
MIDDLE_COLLECTIONS = 50


def set_for_server() -> None:
    """Leave alone what starting has made, and look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG_COLLECTIONS, MIDDLE_COLLECTIONS)

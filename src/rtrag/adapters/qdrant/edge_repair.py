"""After an unclean end: manifests that list chunks which do not exist are withdrawn.

A killed process leaves none, because the write-ahead logs hold all it wrote. After a power loss between two
flushes the system may have saved a manifest and lost its chunks, or saved a sweep and lost the manifest that asked
for it. Such a manifest is newer than the last acknowledgement, or lists what was replaced after it; either way the
source sends the document's change again. Without the manifest the replay builds the document afresh; with it, the
replay would stop at its position and the document stay torn.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from qdrant_edge import Filter, UpdateOperation

from rtrag.adapters.qdrant import edge_shards
from rtrag.adapters.qdrant.edge_state import EdgeState
from rtrag.adapters.qdrant.points import KIND, manifest_of
from rtrag.domain.chunk import manifest_id
from rtrag.domain.document import DocumentKey
from rtrag.domain.manifest import Manifest

_PAGE: Final = 200


async def withdraw_torn_manifests(state: EdgeState) -> tuple[DocumentKey, ...]:
    """Remove manifests that list missing chunks; returns their documents."""
    withdrawn: list[DocumentKey] = []
    offset: str | None = None
    live = Filter(must=[edge_shards.keyword(KIND, ["manifest"])])
    while True:
        page, offset = edge_shards.scroll(state.records, offset, _PAGE, match=live)
        torn = _torn(state, [manifest_of(point.payload) for point in page])
        if torn:
            state.records.update(UpdateOperation.delete_points([manifest_id(key) for key in torn]))
            withdrawn += torn
        if offset is None:
            return tuple(withdrawn)
        await asyncio.sleep(0)


def _torn(state: EdgeState, manifests: Sequence[Manifest]) -> list[DocumentKey]:
    listed = [chunk_id for manifest in manifests for chunk_id in manifest.chunk_ids]
    existing = edge_shards.existing(state.chunks, listed)
    return [manifest.key for manifest in manifests if not existing.issuperset(manifest.chunk_ids)]

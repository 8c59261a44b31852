"""The embedded index is killed at random moments and opened again."""

import random
import subprocess
import sys
import time
from pathlib import Path

from integration.qdrant import edge_worker
from integration.qdrant.edge_worker import DIMENSIONS, DOCUMENTS, SETTINGS, chunk_ids, key_of
from rtrag.adapters.qdrant.edge import EdgeIndex, open_edge_index

KILLS = 20


async def versions(index: EdgeIndex) -> dict[int, int]:
    """Version of each document; fails where a manifest lists a chunk that does not exist."""
    records = await index.records([key_of(document) for document in range(DOCUMENTS)])
    found = {}
    for key, manifest in records.manifests.items():
        document, version = int(key.values[0]), manifest.position.lsn
        assert manifest.chunk_ids == chunk_ids(document, version)
        assert set(await index.chunks(manifest.chunk_ids)) == set(manifest.chunk_ids)
        found[document] = version
    return found


def write_and_kill(folder: Path, seconds: float, flush_every: int) -> None:
    command = [sys.executable, edge_worker.__file__, str(folder), str(flush_every)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        started = process.stdout.readline()
        time.sleep(seconds)
        process.kill()
        assert started == "writing\n", process.stderr.read()


async def test_whenever_it_is_killed_every_manifest_lists_existing_chunks_and_no_write_is_lost(tmp_path: Path) -> None:
    """The log replays, so nothing has to be withdrawn and no document falls back to an older version."""
    generator = random.Random(20260501)
    before: dict[int, int] = {}
    for _ in range(KILLS):
        write_and_kill(tmp_path / "index", generator.uniform(0.0, 0.15), generator.choice([5, 50, 1_000_000]))
        async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
            assert index.withdrawn == ()
            after = await versions(index)
            assert all(after[document] >= version for document, version in before.items())
            before = after
    assert sum(before.values()) > KILLS

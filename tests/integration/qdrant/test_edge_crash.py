"""The embedded index is killed at random moments and opened again."""

import random
import subprocess
import sys
import time
from pathlib import Path

from integration.qdrant import edge_worker
from integration.qdrant.edge_worker import DIMENSIONS, DOCUMENTS, SETTINGS, advance, chunk_ids, key_of
from rtrag.adapters.qdrant.edge import EdgeIndex, open_edge_index
from rtrag.domain.manifest import Manifest, SwitchManifest
from rtrag.domain.position import Position

KILLS = 20
MOST_VERSIONS = 60
CHUNKS = 3  # of a document


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


def write_and_kill(folder: Path, lines: int, seconds: float, flush_every: int, *extra: str) -> dict[int, int]:
    """Kill after so many versions and a moment; returns the versions that were written."""
    command = [sys.executable, edge_worker.__file__, str(folder), str(flush_every), *extra]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = [process.stdout.readline() for _ in range(1 + lines)]
        time.sleep(seconds)
        process.kill()
        assert seen[0] == "writing\n", process.stderr.read()
        whole = "".join([*seen[1:], process.stdout.read()]).rpartition("\n")[0].splitlines()
    return {int(document): int(version) for document, version in (line.split() for line in whole)}


async def test_whenever_it_is_killed_every_manifest_lists_existing_chunks_and_no_write_is_lost(tmp_path: Path) -> None:
    """The log replays, so nothing has to be withdrawn."""
    generator = random.Random(20260501)
    written: dict[int, int] = {}
    for _ in range(KILLS):
        written |= write_and_kill(
            tmp_path / "index",
            generator.randrange(MOST_VERSIONS),
            generator.uniform(0.0, 0.003),
            generator.choice([5, 50, 1_000_000]),
        )
        async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
            assert index.withdrawn == ()
            assert await index.state() == ("unclean" if written else "fresh")
            found = await versions(index)
            assert all(found[document] >= version for document, version in written.items())
    assert sum(written.values()) > KILLS


async def test_a_kill_during_a_compaction_leaves_the_old_storage_or_the_new_one_whole(tmp_path: Path) -> None:
    generator = random.Random(20260502)
    written: dict[int, int] = {}
    strays: set[str] = set()
    for _ in range(8):
        written |= write_and_kill(tmp_path / "index", 1, generator.uniform(0.1, 1.5), 50, "compact")
        async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
            assert index.withdrawn == ()
            found = await versions(index)
            assert all(found[document] >= version for document, version in written.items())
            listed = {each for document, version in found.items() for each in chunk_ids(document, version)}
            present = {point.id async for page in index.all_chunks() for point in page}
            assert listed <= present
            left = present - listed - strays
            assert len(left) <= CHUNKS, "only what the update under way had written or not yet swept"
            strays |= left  # nobody sweeps after this writer
        assert len(list((tmp_path / "index").glob("chunks-*"))) == 1


async def test_after_an_unclean_end_manifests_without_their_chunks_are_withdrawn(tmp_path: Path) -> None:
    """As a power loss may leave them; the replay then builds the document afresh instead of stopping there."""
    async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
        for document in range(3):
            await advance(index, document)
        torn = Manifest(key=key_of(7), position=Position(1, 9, 0), chunk_ids=(chunk_ids(0, 0)[0], chunk_ids(7, 0)[0]))
        await index.write([SwitchManifest(manifest=torn, replaces=None)])
    async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
        assert index.withdrawn == ()
    (tmp_path / "index" / "closed").unlink()
    async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
        assert index.withdrawn == (key_of(7),)
        assert await versions(index) == {0: 0, 1: 0, 2: 0}

"""What a power loss may leave of an index: the logs as they were synced, of the other files any mixture.

Copies of the folder stand for the disk. Between two checkpoints the system may or may not have written what the
engine changed in its mapped files; the write-ahead logs were synced by the last flush.
"""

import random
import shutil
from pathlib import Path

from integration.qdrant.edge_worker import DIMENSIONS, DOCUMENTS, SETTINGS, advance, chunk_ids
from integration.qdrant.test_edge_crash import versions
from rtrag.adapters.qdrant.edge import open_edge_index

MIXTURES = 12
WRITTEN_AFTER = 70


def disk_after_power_loss(target: Path, checkpointed: Path, running: Path, generator: random.Random) -> None:
    """The logs of the running index; of its other files by chance those of the checkpoint or the present ones."""
    shutil.copytree(checkpointed, target)
    (target / "closed").unlink()
    for path in running.rglob("*"):
        if not path.is_file() or path.name == "lock":
            continue
        own = target / path.relative_to(running)
        if path.parent.name == "wal" or (own.exists() and generator.random() < 0.5):
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, own)


async def test_what_a_flush_has_reported_survives_whatever_else_reached_the_disk(tmp_path: Path) -> None:
    generator = random.Random(20261123)
    running, checkpointed = tmp_path / "index", tmp_path / "checkpointed"
    written: dict[int, int] = {}
    async with open_edge_index(running, DIMENSIONS, SETTINGS) as index:
        for step in range(WRITTEN_AFTER):
            written[step % DOCUMENTS] = await advance(index, step % DOCUMENTS)
    shutil.copytree(running, checkpointed)
    async with open_edge_index(running, DIMENSIONS, SETTINGS) as index:
        for step in range(WRITTEN_AFTER):
            written[step % DOCUMENTS] = await advance(index, step % DOCUMENTS)
        await index.flush()
        for mixture in range(MIXTURES):
            disk_after_power_loss(tmp_path / str(mixture), checkpointed, running, generator)

    for mixture in range(MIXTURES):
        async with open_edge_index(tmp_path / str(mixture), DIMENSIONS, SETTINGS) as index:
            assert index.withdrawn == ()
            assert await versions(index) == written
            present = {point.id async for page in index.all_chunks() for point in page}
            assert present == {each for document, version in written.items() for each in chunk_ids(document, version)}

"""What a power loss may leave of an index: the logs as they were synced, of the other files any mixture.

Copies of the folder stand for the disk. Between two checkpoints the system may or may not have written what the
engine changed in its mapped files; the write-ahead logs were synced by the last flush, which is watched for itself.
"""

import os
import random
import shutil
from pathlib import Path

import pytest

from integration.qdrant.edge_worker import DIMENSIONS, DOCUMENTS, SETTINGS, advance, chunk_ids
from integration.qdrant.test_edge_crash import versions
from rtrag.adapters.qdrant import edge_folder, edge_state
from rtrag.adapters.qdrant.edge import open_edge_index
from rtrag.domain.errors import ServiceUnavailableError

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


async def test_a_flush_syncs_the_logs_of_the_chunks_and_then_those_of_what_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = edge_folder._sync_data

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
        await advance(index, 0)
        monkeypatch.setattr(edge_folder, "_sync_data", watched)
        await index.flush()
        of_chunks, of_records = (
            {path.stat().st_ino for path in folder.iterdir() if path.is_file()}
            for folder in (*(tmp_path / "index").glob("chunks-*/wal"), tmp_path / "index" / "records" / "wal")
        )
        assert of_chunks
        assert of_records
        assert set(synced[: len(of_chunks)]) == of_chunks
        assert set(synced[len(of_chunks) :]) == of_records


async def test_logs_that_cannot_be_found_are_no_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_state, "_LOG", "elsewhere")
    async with open_edge_index(tmp_path / "index", DIMENSIONS, SETTINGS) as index:
        await advance(index, 0)
        with pytest.raises(ServiceUnavailableError, match="flush to disk"):
            await index.flush()


@pytest.mark.parametrize(("bound", "value"), [("CHECKPOINT_POINTS", 3), ("CHECKPOINT_SECONDS", 0.0)])
async def test_the_logs_never_hold_more_than_a_checkpoint_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: float
) -> None:
    """So a start after a kill applies little: without the logs nothing of what was flushed is missing."""
    running, disk = tmp_path / "index", tmp_path / "disk"
    async with open_edge_index(running, DIMENSIONS, SETTINGS):
        pass
    shutil.copytree(running, tmp_path / "empty")
    monkeypatch.setattr(edge_state, bound, value)
    async with open_edge_index(running, DIMENSIONS, SETTINGS) as index:
        written = {document: await advance(index, document) for document in range(5)}
        await index.flush()
        shutil.copytree(running, disk)
    for log in (*disk.glob("chunks-*/wal"), disk / "records" / "wal"):
        shutil.rmtree(log)
        shutil.copytree(tmp_path / "empty" / log.relative_to(disk), log)
    async with open_edge_index(disk, DIMENSIONS, SETTINGS) as index:
        assert index.withdrawn == ()
        assert await versions(index) == written

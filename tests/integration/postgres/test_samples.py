"""The samples come with the package and fill a database, once."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg

from rtrag.adapters.postgres.embedded import open_embedded_postgres
from rtrag.samples import sample_documents

SCRIPT = Path(__file__).parents[3] / "scripts" / "ingest_initial.py"


def run(folder: Path, *arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RTRAG_", "POSTGRES_"))}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=folder,
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_sample_has_an_id_a_title_and_a_text() -> None:
    samples = sample_documents()
    assert [sample.id for sample in samples] == [f"doc-{number}" for number in range(1, len(samples) + 1)]
    assert 12 <= len(samples) <= 15
    for sample in samples:
        assert sample.content.startswith("# ")
        assert sample.title
        assert sample.metadata["topic"]


async def test_the_script_fills_the_running_instance_once_and_sets_back_on_demand(tmp_path: Path) -> None:
    (tmp_path / ".rtrag").mkdir()
    async with open_embedded_postgres(tmp_path / ".rtrag" / "postgres") as postgres:
        instance = {"url": "http://127.0.0.1:8000", "postgres_url": postgres.url, "pid": 1}
        (tmp_path / ".rtrag" / "instance.json").write_text(json.dumps(instance))
        count = len(sample_documents())
        assert run(tmp_path, environ={}).stdout.startswith(f"{count} documents inserted, 0 set back, 0 left")
        async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
            await connection.execute("UPDATE documents SET content = 'mine' WHERE id = 'doc-1'")
            assert run(tmp_path, environ={}).stdout.startswith(f"0 documents inserted, 0 set back, {count} left")
            assert run(tmp_path, "--force", environ={}).stdout.startswith("0 documents inserted, 1 set back")
            await connection.execute("DROP TABLE documents")
        done = run(tmp_path, environ={"POSTGRES_URL": postgres.url})
        assert done.stdout.startswith(f"made the table; {count} documents inserted")


def test_the_script_says_what_to_do_when_nothing_runs(tmp_path: Path) -> None:
    done = run(tmp_path, environ={})
    assert done.returncode == 1
    assert "Fix: start `rtrag up` in this folder, or set POSTGRES_URL." in done.stderr

"""``rtrag up`` as a user meets it: it answers, follows SQL, stops, goes on, and says what is wrong."""

import signal
import socket
import time
from pathlib import Path

from e2e.instances import environment, rtrag, running_up, spawn

QUESTION = {"query": "Within how many days can unopened bags be returned?"}
UPDATE = "UPDATE documents SET content = replace(content, 'within 30 days', 'within 60 days') WHERE id = 'doc-3'"
LSN = "SELECT pg_current_wal_insert_lsn()"
RESUME_SECONDS = 15.0  # 1.3 s on a quiet machine; tests share theirs


def test_up_answers_follows_a_change_in_sql_stops_and_goes_on(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        before = up.post("/query", QUESTION)
        assert "within 30 days" in before["answer"]
        changed = rtrag(tmp_path, "psql", "-qtAc", UPDATE, "-c", LSN)
        assert changed.code == 0, changed.err
        after = up.post("/query", {**QUESTION, "min_position": changed.out.strip()})
        assert "within 60 days" in after["answer"]
        cited = next(citation for citation in after["citations"] if citation["id"] == "doc-3")
        assert cited["version"] == 2
        assert (tmp_path / ".rtrag" / "instance.json").exists()
        stopped = up.stop()
    assert stopped.code == 0, stopped.err
    assert stopped.err.rstrip().endswith("Stopped.")
    assert "Traceback" not in stopped.err
    assert not (tmp_path / ".rtrag" / "instance.json").exists()

    with running_up(tmp_path) as again:
        assert again.seconds < RESUME_SECONDS
        totals = again.get("/api/pipeline/status")["totals"]
        assert totals.get("embedded_chunks", 0) == totals.get("copied", 0) == 0
        assert "within 60 days" in again.post("/query", QUESTION)["answer"]
        assert again.stop(signal.SIGTERM).code == 0


def test_up_can_be_stopped_while_it_starts(tmp_path: Path) -> None:
    process = spawn(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / ".rtrag" / "postgres").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in {0, 130}, err
    assert "Traceback" not in err
    with running_up(tmp_path) as up:
        assert up.get("/ready")["ready"]


def test_samples_stay_away_when_they_are_not_wanted_or_were_removed(tmp_path: Path) -> None:
    with running_up(tmp_path, "--no-samples") as up:
        assert up.get("/api/documents")["total"] == 0
    with running_up(tmp_path) as up:
        assert up.get("/api/documents")["total"] > 0
        assert rtrag(tmp_path, "psql", "-qc", "DELETE FROM documents").code == 0
    with running_up(tmp_path) as up:
        assert up.get("/api/documents")["total"] == 0


def test_a_folder_in_use_is_named_with_the_way_out(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        second = rtrag(tmp_path, "up", "--port", "0")
        assert second.code == 1
        assert up.url in second.err
        assert "Fix:" in second.err
        (tmp_path / ".rtrag" / "instance.json").unlink()
        hidden = rtrag(tmp_path, "up", "--port", "0")
        assert hidden.code == 2
        assert str(up.process.pid) in hidden.err
        assert "Fix:" in hidden.err


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = rtrag(tmp_path, "up", "--port", port)
    assert done.code == 1
    assert port in done.err
    assert "--port" in done.err
    assert not (tmp_path / ".rtrag" / "postgres").exists()


def test_a_setting_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path) -> None:
    done = rtrag(tmp_path, "up", RTRAG_DATA_FOLDR="x")
    assert done.code == 2
    assert "RTRAG_DATA_FOLDR" in done.err
    assert "RTRAG_DATA_FOLDER" in done.err
    assert "Fix:" in done.err


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = rtrag(tmp_path, "--data", "file", "up", "--port", "0")
    assert done.code == 2
    assert "file" in done.err
    assert "Fix:" in done.err


def test_a_server_that_is_not_there_is_an_error_with_its_cause(tmp_path: Path) -> None:
    assert "POSTGRES_URL" not in environment()
    done = rtrag(tmp_path, "doctor", POSTGRES_URL="postgresql://nobody@127.0.0.1:1/none")
    assert done.code == 1
    assert "wrong    PostgreSQL" in done.out
    assert "Fix:" in done.out

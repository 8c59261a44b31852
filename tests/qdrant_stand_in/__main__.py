"""``python -m qdrant_stand_in --port PORT --folder FOLDER``: serve on loopback until SIGINT or SIGTERM."""

import argparse
from pathlib import Path

import uvicorn

from qdrant_stand_in.app import create_app

KEEP_ALIVE_SECONDS = 75  # longer than clients keep a connection: none is closed while a request is on its way


def main() -> None:
    parser = argparse.ArgumentParser(description="The engine of Qdrant behind an HTTP layer for tests; no server.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    uvicorn.run(
        create_app(given.folder),
        host="127.0.0.1",
        port=given.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()

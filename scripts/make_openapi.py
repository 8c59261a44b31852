"""Write openapi.json: the description of both services, as `rtrag up` serves it."""

import json
import sys
from pathlib import Path

from rtrag.entrypoints.http.app import create_app
from rtrag.testing.services import fake_services

TARGET = Path(__file__).resolve().parent.parent / "openapi.json"


def openapi_text() -> str:
    """The description as it is committed."""
    return json.dumps(create_app(fake_services()).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(openapi_text(), encoding="utf-8")
    sys.stdout.write(f"Wrote {TARGET.name}\n")

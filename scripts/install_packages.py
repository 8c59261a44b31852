"""Install what the stack and its tests need of Debian, services not started: ``python scripts/install_packages.py``."""

import sys
import tempfile
from pathlib import Path

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack import packages


def main() -> int:
    """0 when all are there, else 1, with what apt said."""
    missing = packages.missing_packages()
    if not missing:
        return 0
    print(f"installing {' '.join(missing)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "apt.log"
        try:
            packages.install(missing, log)
        except CommandError as error:
            said = log.read_text(errors="replace") if log.exists() else ""
            print(f"{said}{error} {error.fix}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

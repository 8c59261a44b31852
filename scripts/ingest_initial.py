"""Fill the table of documents with the samples: of POSTGRES_URL, else of the running `rtrag up`.

python scripts/ingest_initial.py            # what is there stays as it is
python scripts/ingest_initial.py --force    # set the samples back to their first text
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from rtrag.adapters.postgres.filling import fill_documents
from rtrag.config import Settings, find_config, load_settings
from rtrag.domain.errors import ConfigurationError, RtragError
from rtrag.samples import sample_documents

INSTANCE_FILE = "instance.json"


def postgres_url(settings: Settings) -> str:
    """The configured database, else that of the instance that runs in the data folder."""
    if settings.postgres_url is not None:
        return settings.postgres_url.get_secret_value()
    path = settings.data_folder / INSTANCE_FILE
    try:
        return str(json.loads(path.read_text())["postgres_url"])
    except (OSError, ValueError, KeyError) as exc:
        raise ConfigurationError(
            f"No PostgreSQL to fill: POSTGRES_URL is not set, and nothing runs in {settings.data_folder.resolve()}.",
            fix="start `rtrag up` in this folder, or set POSTGRES_URL.",
        ) from exc


async def fill(config: Path | None, *, replace: bool) -> str:
    """Fill, and say what was done."""
    settings = load_settings(config or find_config(os.environ, Path.cwd()), os.environ)
    url = postgres_url(settings)
    filled = await fill_documents(url, sample_documents(), replace=replace)
    where = conninfo_to_dict(url)
    created = "made the table; " if filled.table_created else ""
    return (
        f"{created}{filled.inserted} documents inserted, {filled.replaced} set back, {filled.kept} left as they are, "
        f"in public.documents of {where.get('dbname')} on {where.get('host', 'localhost')}"
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", action="store_true", help="set samples that were changed back to their first text")
    parser.add_argument("--config", type=Path, help="configuration file, rtrag.toml by default")
    arguments = parser.parse_args()
    try:
        print(asyncio.run(fill(arguments.config, replace=arguments.force)))
    except RtragError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

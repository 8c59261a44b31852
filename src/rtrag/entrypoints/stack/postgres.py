"""PostgreSQL with the settings of ``docker/postgres``, and what ``init.sql`` makes in it."""

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from rtrag.adapters.postgres import server_account
from rtrag.adapters.postgres.server_account import Account
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack.layout import HOST, Stack
from rtrag.entrypoints.stack.packages import PACKAGES, find_postgres
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part, base_environment
from rtrag.entrypoints.stack.process import tail

SUPERUSER = "postgres"
DATABASE = "rag_db"
URL_USER, URL_PASSWORD = "rag_user", "rag_pass"
_SETTINGS = "rtrag.conf"


def postgres_part(stack: Stack) -> Part:
    """PostgreSQL. It refuses to run as root, so root gives it an account of its own."""
    return Part(
        name="postgres",
        title="PostgreSQL",
        ports=(stack.port("postgres"),),
        prepare=lambda: _prepare(stack),
        check=lambda: _check(stack),
        complete=lambda: _complete(stack),
        start_seconds=120.0,  # recovery after a crash
        stops=((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
        advice="the log says why; `rtrag stack down --wipe` begins again with nothing",
    )


def postgres_url(stack: Stack) -> str:
    """The address for the services, with the sample's password unless RAG_PASSWORD gave another."""
    password = os.environ.get("RAG_PASSWORD", URL_PASSWORD)
    return f"postgresql://{URL_USER}:{password}@{stack.address('postgres')}/{DATABASE}"


def _prepare(stack: Stack) -> Launch:
    account = server_account.required()
    folder = stack.folder("postgres")
    data = folder / "data"
    program = _program(data)
    if account is not None:
        server_account.make_reachable(folder, program.parent)
    if not (data / "PG_VERSION").exists():
        _create(stack, program, account)
    settings = data / _SETTINGS
    shutil.copyfile(stack.configuration("docker/postgres/postgresql.conf"), settings)
    settings.chmod(0o644)
    given = {"port": stack.port("postgres"), "listen_addresses": HOST, "unix_socket_directories": ""}
    options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
    return Launch(command=(str(program), "-D", str(data), *options), folder=folder, account=account)


def _program(data: Path) -> Path:
    made_by = (data / "PG_VERSION").read_text().strip() if (data / "PG_VERSION").exists() else None
    found = find_postgres(made_by)
    if found is None:
        version = f"-{made_by}" if made_by else ""
        raise CommandError(
            f"There is no PostgreSQL {made_by or ''} on this machine, which {data} needs.",
            fix=f"install the package {PACKAGES['postgres']}{version}, or begin again: rtrag stack down --wipe.",
        )
    return found


def _create(stack: Stack, program: Path, account: Account | None) -> None:
    """Initialize beside the final place and rename, so that a kill in between leaves nothing half made."""
    folder = stack.folder("postgres")
    fresh, password = folder / "data.new", _password_file(stack)
    shutil.rmtree(fresh, ignore_errors=True)
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16) + "\n")
    fresh.mkdir(mode=0o700)
    if account is not None:
        for path in (fresh, password):
            os.chown(path, account.uid, account.gid)
    options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums")
    command = (str(program.with_name("initdb")), "-D", str(fresh), "-U", SUPERUSER, f"--pwfile={password}", *options)
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        env=base_environment(),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=() if account else None,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"initdb failed in {fresh}:\n{done.stdout}{done.stderr}", fix="the last line says why.")
    with (fresh / "postgresql.conf").open("a") as file:
        file.write(f"\ninclude = '{_SETTINGS}'  # docker/postgres/postgresql.conf, copied before each start\n")
    fresh.rename(folder / "data")


def _check(stack: Stack) -> str:
    """Ask as a service would; before ``init.sql`` has run there is only the superuser."""
    initialized = _initialized(stack).exists()
    user, database = (URL_USER, DATABASE) if initialized else (SUPERUSER, "postgres")
    try:
        password = os.environ.get("RAG_PASSWORD", URL_PASSWORD) if initialized else _superuser_password(stack)
        with psycopg.connect(
            host=HOST,
            port=stack.port("postgres"),
            user=user,
            password=password,
            dbname=database,
            connect_timeout=3,
        ) as connection:
            found = connection.execute("SELECT current_setting('server_version')").fetchone()
    except (psycopg.Error, OSError) as exc:
        raise NotHealthyError(str(exc).strip()) from exc
    return str(found[0]).split()[0] if found else "?"


def _complete(stack: Stack) -> None:
    """Run ``init.sql`` once, as the image of compose does."""
    if _initialized(stack).exists():
        return
    psql = _program(stack.folder("postgres") / "data").with_name("psql")
    script = stack.configuration("docker/postgres/init.sql")
    log = stack.log("init-sql")
    address = ("-h", HOST, "-p", str(stack.port("postgres")), "-U", SUPERUSER, "-d", "postgres")
    given = {name: os.environ[name] for name in ("RAG_PASSWORD", "DEBEZIUM_PASSWORD") if name in os.environ}
    with log.open("wb") as output:
        done = subprocess.run(  # noqa: S603 - our own command
            (str(psql), "-X", "-v", "ON_ERROR_STOP=1", "--no-password", *address, "-f", str(script)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**base_environment(), **given, "PGPASSWORD": _superuser_password(stack)},
            check=False,
        )
    if done.returncode:
        raise CommandError(f"{script} failed:\n" + "\n".join(tail(log, 10)), fix="correct it; `up` runs it again.")
    _initialized(stack).touch()


def _superuser_password(stack: Stack) -> str:
    return _password_file(stack).read_text().strip()


def _password_file(stack: Stack) -> Path:
    return stack.folder("postgres") / "superuser.password"


def _initialized(stack: Stack) -> Path:
    return stack.folder("postgres") / "initialized"

"""``rtrag debezium``: Debezium's connector on Kafka Connect."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from rtrag.domain.errors import ConfigurationError, NotFoundError, RtragError
from rtrag.entrypoints.cli.connector_file import USUAL_FILE, USUAL_NAME, read_connector
from rtrag.entrypoints.cli.errors import FAILURE, USAGE, CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import settings_of
from rtrag.entrypoints.cli.output import note, plain, say, show_json, styled

if TYPE_CHECKING:
    from rtrag.adapters.kafka_connect import ConnectorStatus, KafkaConnect

T = TypeVar("T")

UrlOption = Annotated[str, typer.Option("--url", help="Address of Kafka Connect.")]
NameOption = Annotated[str, typer.Option("--name", help="Name of the connector.")]
WaitOption = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until connector and task run.")]
DEFAULT_URL = "http://127.0.0.1:8084"


def create_group() -> typer.Typer:
    """The commands."""
    group = typer.Typer(
        help="Debezium's connector on Kafka Connect: apply, status, pause, resume, restart, delete.",
        no_args_is_help=True,
    )
    for command in (apply, status, pause, resume, restart, delete):
        group.command(command.__name__)(command)
    return group


def apply(
    *,
    file: Annotated[Path, typer.Option("--file", help="The connector, as it is posted to Kafka Connect.")] = USUAL_FILE,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="key=value laid over the file, repeatable; `key=` leaves it out.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the connector, instead of the file's.")] = None,
    url: UrlOption = DEFAULT_URL,
    wait: WaitOption = 90.0,
) -> None:
    """Make the connector or bring it up to date, and wait until it runs. Doing it again changes nothing."""
    from rtrag.entrypoints.cli.connector_apply import bring_up_to_date  # noqa: PLC0415 - keeps other commands quick

    wanted = read_connector(file, name, changes or ())
    _run(url, wanted.name, lambda connect: bring_up_to_date(connect, wanted, wait))


def status(
    *,
    name: NameOption = USUAL_NAME,
    url: UrlOption = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show whether connector and task run, with the cause and the fix if not; the exit code is 1 then."""
    found, config = _run(url, name, lambda connect: _look(connect, name))
    if as_json:
        show_json(_as_json(name, found))
    else:
        _show(name, found, config)
    if not found.running:
        raise typer.Exit(FAILURE)


def pause(*, name: NameOption = USUAL_NAME, url: UrlOption = DEFAULT_URL) -> None:
    """Let the connector stand still. PostgreSQL keeps its log meanwhile, which fills the disk in the end."""
    _run(url, name, lambda connect: connect.pause(name))
    say(f"{plain(name)} pauses; `rtrag debezium resume` lets it go on. PostgreSQL keeps its log for it meanwhile.")


def resume(*, name: NameOption = USUAL_NAME, url: UrlOption = DEFAULT_URL, wait: WaitOption = 90.0) -> None:
    """Let a paused connector go on, and wait until it runs."""
    from rtrag.entrypoints.cli.connector_apply import until_running  # noqa: PLC0415 - keeps other commands quick

    async def go_on(connect: "KafkaConnect") -> None:
        await connect.resume(name)
        await until_running(connect, name, wait)

    _run(url, name, go_on)


def restart(
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only what has failed.")] = False,
    name: NameOption = USUAL_NAME,
    url: UrlOption = DEFAULT_URL,
    wait: WaitOption = 90.0,
) -> None:
    """Start the connector and its task anew, and wait until they run."""
    from rtrag.entrypoints.cli.connector_apply import until_running  # noqa: PLC0415 - keeps other commands quick

    async def again(connect: "KafkaConnect") -> None:
        await connect.restart(name, only_failed=failed)
        await until_running(connect, name, wait)

    _run(url, name, again)


def delete(
    context: typer.Context,
    *,
    drop_slot: Annotated[
        bool, typer.Option("--drop-slot", help="Drop PostgreSQL's replication slot as well, and forget the offsets.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    name: NameOption = USUAL_NAME,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Remove the connector. Topics stay; so do offsets and slot, for an `apply` that goes on where it stopped."""
    if not drop_slot:
        slot = _run(url, name, lambda connect: _delete(connect, name))
        say(f"{plain(name)} is removed.")
        note(f"Slot {plain(slot)} stays and keeps PostgreSQL's log until it is read again or dropped.")
        return
    from rtrag.entrypoints.cli.connector_slot import drop_with_connector, warning  # noqa: PLC0415 - loads drivers

    target: Target = context.obj
    found = settings_of(target).postgres_url
    if found is None:
        raise CommandError(
            "To drop the slot, the address of PostgreSQL is needed.",
            fix="set POSTGRES_URL, as a role that may replicate; or leave out --drop-slot and drop it in psql.",
            code=USAGE,
        )
    _, config = _run(url, name, lambda connect: _look(connect, name))
    note(warning(config))
    if not yes and not typer.confirm("Go on?"):
        raise CommandError("Nothing was changed.")
    _run(url, name, lambda connect: drop_with_connector(connect, name, config, found.get_secret_value()))


async def _look(connect: "KafkaConnect", name: str) -> tuple["ConnectorStatus", dict[str, str]]:
    return await connect.status(name), dict(await connect.config(name) or {})


async def _delete(connect: "KafkaConnect", name: str) -> str:
    config = await connect.config(name) or {}
    await connect.delete(name)
    return config.get("slot.name", "debezium")


def _run(url: str, name: str, action: Callable[["KafkaConnect"], Awaitable[T]]) -> T:
    """Do it with Kafka Connect at this address. Raises CommandError with what to do."""
    from rtrag.adapters.kafka_connect import open_kafka_connect  # noqa: PLC0415 - httpx is slow to import

    async def connected() -> T:
        async with open_kafka_connect(url) as connect:
            return await action(connect)

    try:
        return asyncio.run(connected())
    except NotFoundError as error:
        raise CommandError(
            f"There is no connector {name!r} at {url}: {error}", fix="`rtrag debezium apply` makes it; or give --name."
        ) from error
    except ConfigurationError:
        raise
    except RtragError as error:
        raise CommandError(
            str(error), fix="start Kafka Connect, wait until it has settled, or give its address with --url."
        ) from error


def _show(name: str, found: "ConnectorStatus", config: dict[str, str]) -> None:
    from rtrag.entrypoints.cli.connector_causes import show_cause  # noqa: PLC0415 - keeps other commands quick

    for part in (found.connector, *found.tasks):
        style = "green" if part.state == "RUNNING" else "yellow"
        say(f"{plain(name)} {part.name}: {styled(plain(part.state), style)} on {plain(part.worker)}")
    if not found.tasks:
        say(styled("There is no task yet.", "yellow"))
    for part in found.failed:
        show_cause(part, config)


def _as_json(name: str, found: "ConnectorStatus") -> dict[str, Any]:
    return {
        "name": name,
        "running": found.running,
        "parts": [
            {"name": part.name, "state": part.state, "worker": part.worker, "trace": part.trace}
            for part in (found.connector, *found.tasks)
        ],
    }

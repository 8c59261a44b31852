"""``rtrag status``, ``rtrag verify`` and ``rtrag version``."""

from typing import Annotated, Any

import typer

from rtrag.entrypoints.cli.client import running_api
from rtrag.entrypoints.cli.errors import FAILURE, CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import open_api
from rtrag.entrypoints.cli.output import plain, say, show_json, styled

JsonOption = Annotated[bool, typer.Option("--json", help="Print the response as JSON.")]
_SHOWN_DIFFERENCES = 20


def status(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """Show what the running instance is doing; the exit code is 1 if it is not ready, or none runs."""
    target: Target = context.obj
    api = running_api(target)
    if api is None:
        raise CommandError(f"No instance runs on {target.folder}.", fix="start one with `rtrag up`.")
    with api:
        found = api.call("GET", "/api/pipeline/status")
    if as_json:
        show_json(found)
    else:
        _show_status(api.url, found)
    if not found["ready"]:
        raise typer.Exit(FAILURE)


def verify(
    context: typer.Context,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare tables and index; the exit code is 1 if a difference remains."""
    target: Target = context.obj
    with open_api(target) as api:
        report = api.call("POST", "/api/verify", {"repair": repair}, timeout=None)
    if as_json:
        show_json(report)
    else:
        _show_report(report)
    if not report["consistent"]:
        raise typer.Exit(FAILURE)


def version() -> None:
    """Print the version."""
    say(package_version())


def package_version() -> str:
    """Version of the installed package."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - keeps other commands quick

    return installed("rtrag")


def _show_status(url: str, found: dict[str, Any]) -> None:
    state = styled("ready", "green") if found["ready"] else styled("not ready", "yellow")
    lag = f"current as of {found['lag_ms'] / 1000:.1f} s ago" if found["lag_ms"] >= 0 else "lag not known yet"
    say(f"{url}  {state}, {found['phase'].replace('_', ' ')}, {lag}")
    say(f"documents {found['counts'].get('documents', 0):,}, chunks {found['counts'].get('chunks', 0):,}")
    say(f"visible {found['visible_lsn']}, durable {found['durable_lsn']}, received {found['received_lsn']}")
    for copy in found["copying"]:
        say(f"copying {plain(copy['table'])}: {copy['copied']:,} of about {copy['rows']:,} rows")
    if found["dead_letters"]:
        say(styled(f"{found['dead_letters']} dead letters: see `rtrag dlq list`", "yellow"))
    for problem in found["problems"]:
        say(styled(f"- {plain(problem)}", "yellow"))


def _show_report(report: dict[str, Any]) -> None:
    say(f"{report['documents']:,} documents, {report['chunks']:,} chunks compared.")
    if report["repaired"]:
        say(f"{report['repaired']:,} differences mended.")
    found = report["differences"]
    for difference in found[:_SHOWN_DIFFERENCES]:
        say(plain(f"{difference['kind']}: {difference['key']}: {difference['detail']}"))
    if len(found) > _SHOWN_DIFFERENCES:
        say(f"... and {len(found) - _SHOWN_DIFFERENCES:,} more; --json lists all.")
    if found:
        say(styled(f"{len(found):,} differences; `rtrag verify --repair` mends them.", "yellow"))
    else:
        say(styled("No differences.", "green"))

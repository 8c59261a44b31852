"""``rtrag dlq``: changes that could not be processed."""

from typing import Annotated, Any

import typer

from rtrag.entrypoints.cli.client import letter_path
from rtrag.entrypoints.cli.errors import FAILURE, USAGE, CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import open_api
from rtrag.entrypoints.cli.output import plain, say, show_json, styled

JsonOption = Annotated[bool, typer.Option("--json", help="Print the response as JSON.")]
KeyArgument = Annotated[str, typer.Argument(help="Document key as `dlq list` prints it: public.documents/doc-1.")]


def create_group() -> typer.Typer:
    """The commands."""
    group = typer.Typer(help="Changes that could not be processed: list, show, replay, drop.", no_args_is_help=True)
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("replay")(replay)
    group.command("drop")(drop)
    return group


def list_letters(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many to list.")] = 100,
    after: Annotated[str | None, typer.Option(help="Only letters behind this key.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List open dead letters with their causes."""
    target: Target = context.obj
    with open_api(target) as api:
        page = api.call("GET", "/api/dead-letters", params={"limit": limit, "after": after})
    if as_json:
        show_json(page)
        return
    for letter in page["dead_letters"]:
        say(f"{styled(plain(letter['key']), 'cyan')}  {plain(letter['cause'])}  ({letter['attempts']} attempts)")
    say(f"{page['total']} open." if page["total"] else styled("No dead letters.", "green"))


def show(context: typer.Context, key: KeyArgument, *, as_json: JsonOption = False) -> None:
    """Print a dead letter with the change as it came."""
    target: Target = context.obj
    with open_api(target) as api:
        letter = api.call("GET", letter_path(key))
    if as_json:
        show_json(letter)
        return
    for field in ("key", "cause", "position", "attempts", "first_failed", "last_failed"):
        say(f"{field}: {plain(str(letter[field]))}")
    for field, value in letter["payload"].items():
        say(f"payload.{plain(field)}: {plain(str(value))}")


def replay(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(help="Document key; --all for every letter.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Replay every letter.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read the rows as they are now and index them; the exit code is 1 if a letter stays open."""
    if (key is None) != every:
        raise CommandError("Say which letters to replay.", fix="name one KEY, or give --all.", code=USAGE)
    target: Target = context.obj
    path = "/api/dead-letters/replay" if key is None else f"{letter_path(key)}/replay"
    with open_api(target) as api:
        outcome = api.call("POST", path, timeout=None)
    if as_json:
        show_json(outcome)
    else:
        _show_outcomes(outcome)
    if outcome["still_open"]:
        raise typer.Exit(FAILURE)


def drop(context: typer.Context, key: KeyArgument) -> None:
    """Forget a dead letter; the document stays in the index as it is."""
    target: Target = context.obj
    with open_api(target) as api:
        api.call("DELETE", letter_path(key))
    say(f"Forgotten: {plain(key)}")


def _show_outcomes(outcome: dict[str, Any]) -> None:
    for item in outcome["outcomes"]:
        text = "closed" if item["closed"] else f"still open: {plain(str(item['cause']))}"
        say(f"{styled(plain(item['key']), 'cyan')}  {text}")
    say(f"{outcome['closed']} closed, {outcome['still_open']} still open.")

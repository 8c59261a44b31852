"""``rtrag doctor``: what is wrong, and how to mend it."""

from typing import Annotated

import typer

from rtrag.entrypoints.cli.errors import FAILURE
from rtrag.entrypoints.cli.output import say, show_json, styled

_STYLES = {"ok": "green", "warning": "yellow", "wrong": "red"}


def doctor(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check settings, port, data folder, disk, PostgreSQL and the running instance; exit code 1 if one is wrong."""
    from rtrag.entrypoints.cli.checks import examine  # noqa: PLC0415 - keeps other commands quick

    findings = list(examine(context.obj))
    if as_json:
        show_json([{"state": f.state, "what": f.what, "detail": f.detail, "fix": f.fix} for f in findings])
    else:
        for finding in findings:
            say(f"{styled(f'{finding.state:8}', _STYLES[finding.state])} {finding.what}: {finding.detail}")
            if finding.fix:
                say(f"{'':8} Fix: {finding.fix}")
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(FAILURE)

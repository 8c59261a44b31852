"""The command ``rtrag``: its options, its groups, and what happens when a command fails."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from rtrag.domain.errors import ConfigurationError, RtragError
from rtrag.entrypoints.cli import debezium, dlq, docs, doctor, importing, psql, query, serve, stack, status, up
from rtrag.entrypoints.cli.errors import FAILURE, USAGE, CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.output import say, show_error

_INTERRUPTED = 130


def create_cli() -> typer.Typer:
    """The command line with all its commands."""
    cli = typer.Typer(
        name="rtrag",
        help="Cited answers from PostgreSQL documents, true as of the last commit. Start with `rtrag up`.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cli.callback()(_options)
    cli.command("up")(up.up)
    cli.command("serve")(serve.serve)
    cli.command("query")(query.query)
    cli.add_typer(docs.create_group(), name="docs")
    cli.command("import")(importing.import_files)
    cli.command("status")(status.status)
    cli.command("verify")(status.verify)
    cli.add_typer(dlq.create_group(), name="dlq")
    cli.add_typer(debezium.create_group(), name="debezium")
    cli.add_typer(stack.create_group(), name="stack")
    cli.command("psql", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(psql.psql)
    cli.command("doctor")(doctor.doctor)
    cli.command("version")(status.version)
    return cli


def main() -> None:
    """Run the command line; an expected failure is a message with its fix and an exit code, never a traceback."""
    # A shell without job control starts background jobs with SIGINT ignored: they could not be stopped cleanly.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        create_cli()()
    except CommandError as error:
        show_error(str(error), error.fix)
        sys.exit(error.code)
    except ConfigurationError as error:
        show_error(error.message, error.fix)
        sys.exit(USAGE)
    except RtragError as error:
        show_error(str(error), "`rtrag doctor` looks for the cause.")
        sys.exit(FAILURE)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILURE)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(status.package_version())
        raise typer.Exit


def _options(
    context: typer.Context,
    *,
    config: Annotated[Path | None, typer.Option(help="Configuration file; rtrag.toml here if there is one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder; .rtrag here by default.")] = None,
    url: Annotated[str | None, typer.Option(help="Address of an instance, instead of the one on the folder.")] = None,
    api_key: Annotated[str | None, typer.Option(help="API key of the instance.")] = None,
    version: Annotated[  # noqa: ARG001 - its callback has done it
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and leave.")
    ] = False,
) -> None:
    context.obj = Target(config=config, data=data, url=url, api_key=api_key)

"""``rtrag serve``: an instance as a service, without samples and without explanations."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import settings_of
from rtrag.entrypoints.cli.output import note

if TYPE_CHECKING:
    from rtrag.entrypoints.cli.server import Running


class RoleName(StrEnum):
    """Which service's paths are shown."""

    query = "query"
    update = "update"
    all = "all"


def serve(
    context: typer.Context,
    role: Annotated[RoleName, typer.Argument(help="Which paths to show: those of one service, or all.")] = RoleName.all,
    host: Annotated[str | None, typer.Option(help="Address to listen on; http.host by default.")] = None,
    ports: Annotated[
        list[int] | None,
        typer.Option("--port", min=0, max=65535, help="Port to listen on, repeatable; 0 picks a free one."),
    ] = None,
) -> None:
    """Run as a service until it is stopped by Ctrl-C or SIGTERM.

    With the index on a Qdrant server, `serve update` indexes and `serve query` answers, each as often as you like. With
    the index in the process, one process holds the data folder: `serve all` serves both, `serve query` and `serve
    update` show the paths of one.
    """
    import logging  # noqa: PLC0415 - with the rest

    from rtrag.entrypoints.cli.logs import configure_logs  # noqa: PLC0415 - only a service logs
    from rtrag.entrypoints.cli.server import Serving, run  # noqa: PLC0415 - loads the whole engine

    target: Target = context.obj
    settings = settings_of(target)
    configure_logs(logging.INFO)
    usual = {"query": settings.http.query_port, "update": settings.http.update_port, "all": settings.http.port}

    async def announce(running: "Running") -> None:
        note(f"Serving {role.value} on {running.url}")

    run(
        Serving(
            settings=settings,
            host=host or settings.http.host,
            ports=tuple(ports or (usual[role.value],)),
            role=role.value,
        ),
        announce,
    )

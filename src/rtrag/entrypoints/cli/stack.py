"""``rtrag stack``: the distributed system on this machine, without Docker."""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from rtrag.entrypoints.cli.errors import FAILURE, USAGE, CommandError
from rtrag.entrypoints.cli.output import plain, say, show_json, styled
from rtrag.entrypoints.stack.layout import DEFAULT_FOLDER, LARGEST_OFFSET, Stack, find_root, remembered

DataOption = Annotated[Path, typer.Option(help="Folder of everything: data, jars, logs, pid files.")]
_POLL_SECONDS = 0.2
_COLOURS = {"ok": "green", "failing": "red", "stopped": "yellow"}


def create_group() -> typer.Typer:
    """The commands."""
    group = typer.Typer(
        help="The distributed system on this machine without Docker: PostgreSQL, Kafka, Debezium, Redis, Prometheus, "
        "update and query service.",
        no_args_is_help=True,
    )
    group.command("up")(up)
    group.command("down")(down)
    group.command("status")(status)
    group.command("logs")(logs)
    group.command("topics")(topics)
    group.command("kafka", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(kafka)
    return group


def up(
    *,
    root: Annotated[Path | None, typer.Option(help="Checkout with the configuration files; found by default.")] = None,
    data: DataOption = DEFAULT_FOLDER,
    port_offset: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_OFFSET, help="Added to every port; as before by default, else 0.")
    ] = None,
    zookeeper: Annotated[
        bool | None, typer.Option("--zookeeper/--kraft", help="Kafka 3.9 with ZooKeeper; as before, else KRaft.")
    ] = None,
    services: Annotated[
        bool, typer.Option("--services/--no-services", help="With the update and the query service.")
    ] = True,
) -> None:
    """Start what does not run yet, in order; install Debian packages and fetch jars that are missing.

    With QDRANT_URL in the environment, update and query service are two processes over that server.
    """
    from rtrag.entrypoints.stack import supervisor  # noqa: PLC0415 - keeps other commands quick
    from rtrag.entrypoints.stack.postgres import postgres_url  # noqa: PLC0415 - keeps other commands quick
    from rtrag.entrypoints.stack.progress import Terminal  # noqa: PLC0415 - keeps other commands quick

    known = remembered(data)
    stack = Stack(
        root=find_root(root, Path.cwd()),
        data=data.resolve(),
        port_offset=port_offset if port_offset is not None else known.port_offset if known else 0,
        zookeeper=zookeeper if zookeeper is not None else known.zookeeper if known else False,
        services=services,
        qdrant_url=os.environ.get("QDRANT_URL") or None,
    )
    _refuse_another_shape(known, stack)
    supervisor.up(stack, Terminal())
    say(f"{styled('Ready.', 'green')} Parts are reached by:")
    say(f"  POSTGRES_URL={postgres_url(stack)}")
    say(f"  KAFKA_BOOTSTRAP_SERVERS={stack.address('kafka')}")
    say(f"  REDIS_URL=redis://{stack.address('redis')}/0")
    say(f"Connectors at http://{stack.address('connect')}, metrics at http://{stack.address('prometheus')}.")
    if services:
        say("Next, make the connector: without it no change leaves PostgreSQL.")
        say(f"  rtrag debezium apply --url http://{stack.address('connect')}")
        say(f"Questions: POST http://{stack.address('query-service')}/query")
        say(f"Documents: http://{stack.address('update-service')}/api/documents")


def down(
    *,
    data: DataOption = DEFAULT_FOLDER,
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove the data as well; the jars stay.")] = False,
) -> None:
    """Stop everything, in reverse order."""
    from rtrag.entrypoints.stack import supervisor  # noqa: PLC0415 - keeps other commands quick
    from rtrag.entrypoints.stack.progress import Terminal  # noqa: PLC0415 - keeps other commands quick

    supervisor.down(_existing(data), Terminal(), wipe=wipe)


def status(
    *,
    data: DataOption = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show each part with its process, port and health; fail unless all are healthy."""
    from rtrag.entrypoints.stack import supervisor  # noqa: PLC0415 - keeps other commands quick

    stack = _existing(data)
    found = supervisor.status(stack)
    if as_json:
        shape = {"data": str(stack.data), "port_offset": stack.port_offset, "zookeeper": stack.zookeeper}
        show_json({**shape, "parts": [asdict(part) for part in found]})
    else:
        for part in found:
            health = styled(f"{part.health:<8}", _COLOURS[part.health])
            say(f"{part.name:<11} {health} {part.port:>5}  {part.pid or '-':>8}  {plain(part.detail)}".rstrip())
    if any(part.health != "ok" for part in found):
        raise typer.Exit(FAILURE)


def logs(
    name: Annotated[str, typer.Argument(help="postgres, redis, prometheus, kafka, connect or zookeeper.")],
    *,
    data: DataOption = DEFAULT_FOLDER,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
) -> None:
    """Print the end of a part's log."""
    from rtrag.entrypoints.stack import supervisor  # noqa: PLC0415 - keeps other commands quick
    from rtrag.entrypoints.stack.process import tail  # noqa: PLC0415 - keeps other commands quick

    log = supervisor.log_of(_existing(data), name)
    if not log.exists():
        raise CommandError(f"{name} has written no log yet.", fix="rtrag stack up")
    size = log.stat().st_size
    for line in tail(log, lines):
        say(plain(line))
    if follow:
        for line in _growing(log, size):
            say(plain(line))


def topics(
    names: Annotated[list[str] | None, typer.Argument(help="Topics to make; none lists what there is.")] = None,
    *,
    data: DataOption = DEFAULT_FOLDER,
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic that is made.")] = 12,
) -> None:
    """List the topics, or make some: the broker makes none by itself."""
    from rtrag.entrypoints.stack.topics import Topic, cluster, create_topics  # noqa: PLC0415 - keeps other commands quick

    bootstrap = _existing(data).address("kafka")
    if names:
        made = create_topics(bootstrap, [Topic(name=name, partitions=partitions) for name in names])
        for name in names:
            say(f"{name}: {'made' if name in made else 'was there'}")
        return
    for name, count in cluster(bootstrap, seconds=10.0).partitions.items():
        say(f"{name}  {count}")


def kafka(
    context: typer.Context,
    tool: Annotated[str, typer.Argument(help="topics, configs, consumer-groups, console-consumer, get-offsets …")],
    *,
    data: DataOption = DEFAULT_FOLDER,
) -> None:
    """Run a tool of Kafka on the broker: rtrag stack kafka consumer-groups --describe --group update-service."""
    from rtrag.entrypoints.stack import tools  # noqa: PLC0415 - keeps other commands quick

    raise typer.Exit(tools.run(_existing(data), tool, context.args))


def _existing(data: Path) -> Stack:
    found = remembered(data)
    if found is None:
        raise CommandError(f"There is no stack in {data}.", fix="`rtrag stack up`, or --data.", code=USAGE)
    return found


def _refuse_another_shape(known: Stack | None, wanted: Stack) -> None:
    """A broker cannot read the other kind's files, and what runs cannot be moved."""
    from rtrag.entrypoints.stack import supervisor  # noqa: PLC0415 - keeps other commands quick

    if known is None:
        return
    if known.zookeeper != wanted.zookeeper:
        kind = "with ZooKeeper" if known.zookeeper else "in KRaft mode"
        raise CommandError(
            f"The broker in {known.data} was made {kind}.",
            fix="take another folder with --data, or begin again: rtrag stack down --wipe.",
            code=USAGE,
        )
    moved = replace(wanted, root=known.root, services=known.services) != known
    if (moved or known.services > wanted.services) and (running := supervisor.running_parts(known)):
        raise CommandError(
            f"These run with --port-offset {known.port_offset}, with{'' if known.services else 'out'} our services, "
            f"QDRANT_URL {known.qdrant_url or 'not set'}: {', '.join(running)}.",
            fix="rtrag stack down first.",
            code=USAGE,
        )


def _growing(log: Path, position: int) -> Iterator[str]:
    """Lines as they come, also when the log is begun anew; for ever."""
    left = b""
    while True:
        size = log.stat().st_size if log.exists() else 0
        if size < position:
            position, left = 0, b""
        if size > position:
            with log.open("rb") as file:
                file.seek(position)
                new = file.read()
            position += len(new)
            *lines, left = (left + new).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines)
        time.sleep(_POLL_SECONDS)

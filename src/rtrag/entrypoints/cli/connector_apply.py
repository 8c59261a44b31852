"""Bringing a connector to the wanted configuration, and waiting until it runs."""

import asyncio

from rtrag.adapters.kafka_connect import ConnectorStatus, KafkaConnect
from rtrag.domain.errors import NotFoundError
from rtrag.entrypoints.cli.connector_causes import fix_of, show_cause
from rtrag.entrypoints.cli.connector_file import Connector, differences, doubts
from rtrag.entrypoints.cli.errors import USAGE, CommandError
from rtrag.entrypoints.cli.output import note, plain, say, styled

_POLL_SECONDS = 0.3
_SETTLED_SECONDS = 2.0  # a state from before the change is told for a moment after it
_STANDING = frozenset({"PAUSED", "STOPPED"})


async def bring_up_to_date(connect: KafkaConnect, wanted: Connector, seconds: float) -> None:
    """Check, make or change it, say what changed, and wait. Raises CommandError if it does not run in time."""
    await connect.version()
    await _check(connect, wanted)
    old = await connect.config(wanted.name)
    for doubt in doubts(old, wanted.config):
        note(styled(f"Note: {plain(doubt)}", "yellow", to_stderr=True))
    changes = differences(old, wanted.config)
    if old is not None and not changes:
        say(f"{plain(wanted.name)} is up to date.")
        await _mend(connect, wanted.name)
    else:
        await connect.put_config(wanted.name, wanted.config)
        say(f"{plain(wanted.name)} is {'made' if old is None else 'changed'}.")
    for change in changes:
        say(f"  {plain(change)}")
    await until_running(connect, wanted.name, seconds)


async def until_running(connect: KafkaConnect, name: str, seconds: float) -> None:
    """Wait until connector and task run and keep running for a moment. Raises CommandError with the cause."""
    loop = asyncio.get_running_loop()
    give_up, since, last = loop.time() + seconds, loop.time(), ""
    while True:
        found = await _status(connect, name)
        told = _told(found)
        if told != last:
            since, last = loop.time(), told
        settled = loop.time() - since >= _SETTLED_SECONDS
        if found is not None and settled and found.running:
            say(f"{plain(name)} runs.")
            return
        if found is not None and settled and (found.failed or found.connector.state in _STANDING):
            await _give_up(connect, name, found)
        if loop.time() >= give_up:
            raise CommandError(
                f"{name} does not run after {seconds:.0f} s: {told}.",
                fix="`rtrag debezium status` tells what became of it; see the log of Kafka Connect.",
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _check(connect: KafkaConnect, wanted: Connector) -> None:
    problems = await connect.problems(wanted.name, wanted.config)
    if not problems:
        return
    lines = [f"{setting}: {message}" for setting, messages in problems.items() for message in messages]
    raise CommandError(
        f"The connector {wanted.name} refuses its configuration: {' '.join(lines)}",
        fix=fix_of(" ".join(lines), wanted.config) or "correct these settings in the file, or with --set.",
        code=USAGE,
    )


async def _mend(connect: KafkaConnect, name: str) -> None:
    """Whoever applies what is applied already has mended the cause of a failure meanwhile."""
    if (await connect.status(name)).failed:
        await connect.restart(name, only_failed=True)
        say("It had failed and is started anew.")


async def _give_up(connect: KafkaConnect, name: str, found: ConnectorStatus) -> None:
    if not found.failed:
        raise CommandError(f"{name} is {found.connector.state.lower()}.", fix="`rtrag debezium resume` lets it go on.")
    config = await connect.config(name) or {}
    for part in found.failed:
        show_cause(part, config)
    raise CommandError(f"{name} has failed, for the reason above.")


async def _status(connect: KafkaConnect, name: str) -> ConnectorStatus | None:
    try:
        return await connect.status(name)
    except NotFoundError:  # just made: the worker that is asked has not heard of it yet
        return None


def _told(found: ConnectorStatus | None) -> str:
    if found is None:
        return "it is not known yet"
    return ", ".join(f"{part.name} {part.state}" for part in (found.connector, *found.tasks))

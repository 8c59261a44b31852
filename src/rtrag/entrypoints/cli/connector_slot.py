"""Removing a connector for good: its offsets and PostgreSQL's slot with it."""

import asyncio
from collections.abc import Mapping

from rtrag.adapters.kafka_connect import STOPPED, KafkaConnect
from rtrag.adapters.postgres.connection import connected
from rtrag.adapters.postgres.slot import drop_slot, slot_status, wait_until_free
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.cli.output import plain, say

_STOP_SECONDS = 60.0
_FREE_SECONDS = 30.0
_POLL_SECONDS = 0.3


def warning(config: Mapping[str, str]) -> str:
    """What dropping the slot means."""
    slot, prefix = slot_of(config), config.get("topic.prefix", "")
    return (
        f"Warning: without slot {plain(slot)}, PostgreSQL keeps no changes: whatever is committed from now on is found "
        "only by copying all rows again.\nThe next connector needs another topic.prefix, with a higher number than "
        f"{plain(prefix)} at its end: with the same one, its rows count as older than what is indexed."
    )


def slot_of(config: Mapping[str, str]) -> str:
    """The slot that a connector reads."""
    return config.get("slot.name", "debezium")


async def drop_with_connector(connect: KafkaConnect, name: str, config: Mapping[str, str], postgres_url: str) -> None:
    """Stop the connector, forget its offsets, remove it, drop its slot: in this order each step can be repeated."""
    await connect.stop(name)
    await _until_stopped(connect, name)
    await connect.forget_offsets(name)
    say(f"{plain(name)} is stopped, its offsets are forgotten.")
    async with connected(postgres_url) as connection:
        slot = await wait_until_free(connection, slot_of(config), _FREE_SECONDS)
        database = config.get("database.dbname")
        if slot is not None and slot.database != database:
            raise CommandError(
                f"Slot {slot.name} at POSTGRES_URL belongs to database {slot.database}, the connector's to {database}.",
                fix="correct POSTGRES_URL: it is another server.",
            )
        if slot is not None:
            await drop_slot(connection, slot)
        gone = await slot_status(connection, slot_of(config)) is None
    say(f"Slot {plain(slot_of(config))} {'is dropped' if slot is not None and gone else 'did not exist'}.")
    await connect.delete(name)
    say(f"{plain(name)} is removed.")


async def _until_stopped(connect: KafkaConnect, name: str) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + _STOP_SECONDS
    while True:
        found = await connect.status(name)
        if found.connector.state == STOPPED and not found.tasks:
            return
        if loop.time() >= give_up:
            raise CommandError(
                f"{name} has not stopped in {_STOP_SECONDS:.0f} s; nothing is removed.", fix="try again in a while."
            )
        await asyncio.sleep(_POLL_SECONDS)

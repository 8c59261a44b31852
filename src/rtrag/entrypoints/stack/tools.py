"""Kafka's own command line tools, run from the jars of the stack."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from rtrag.entrypoints.cli.errors import USAGE, CommandError
from rtrag.entrypoints.stack.java import java_command
from rtrag.entrypoints.stack.layout import Stack

TOOLS: Mapping[str, str] = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "kafka.admin.ConfigCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
}


def run(stack: Stack, tool: str, arguments: Sequence[str]) -> int:
    """Run a tool (``consumer-groups`` or ``kafka-consumer-groups``) on the broker; its exit code.

    Raises CommandError for a name that is none.
    """
    main_class = TOOLS.get(tool.removeprefix("kafka-").removesuffix(".sh"))
    if main_class is None:
        raise CommandError(f"There is no tool {tool!r}.", fix=f"one of: {', '.join(TOOLS)}.", code=USAGE)
    # a tool tells its result on the output and logs on top of it
    quiet = ("-Dorg.apache.logging.log4j.level=ERROR",)
    command = java_command(jars=stack.java("kafka"), main_class=main_class, heap="256m", options=quiet)
    given = () if "--bootstrap-server" in arguments else ("--bootstrap-server", stack.address("kafka"))
    sys.stdout.flush()
    done = subprocess.run((*command, *given, *arguments), env=dict(os.environ), check=False)  # noqa: S603 - our own
    return done.returncode

"""``rtrag up``: everything in one process, with documents to try it on and words on what to try."""

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtrag.domain.errors import RequestError, RtragError, TooSlowError
from rtrag.entrypoints.cli.client import running_instance
from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import settings_of
from rtrag.entrypoints.cli.output import note, plain, say, styled

if TYPE_CHECKING:
    from rtrag.application.services import Services
    from rtrag.application.status import PipelineStatus
    from rtrag.entrypoints.cli.server import Running

_MARKER = "samples.txt"
_POLL_SECONDS = 0.1
_QUESTION = "Within how many days can unopened bags be returned?"
_SAMPLE = "doc-3"
_OLD, _NEW = "within 30 days", "within 60 days"


def up(
    context: typer.Context,
    *,
    no_samples: Annotated[
        bool, typer.Option("--no-samples", help="Do not fill in documents on the first start.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on; http.host by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = None,
) -> None:
    """Start everything here: PostgreSQL, index, API. Ctrl-C stops it; the next start goes on where it stopped."""
    target: Target = context.obj
    settings = settings_of(target)
    running = running_instance(target)
    if running is not None:
        raise CommandError(
            f"An instance runs on {settings.data_folder} already, at {running.url} (process {running.pid}).",
            fix="use it, stop it with Ctrl-C where it runs, or choose another folder with --data.",
        )
    note(f"Starting in {settings.data_folder} ...")
    import logging  # noqa: PLC0415 - keeps other commands quick

    from rtrag.entrypoints.cli.logs import configure_logs, tell_problems  # noqa: PLC0415 - after the first sign of life
    from rtrag.entrypoints.cli.server import Serving, run  # noqa: PLC0415 - loads the whole engine

    configure_logs(logging.WARNING)
    tell_problems(wanted=False)
    samples = settings.embedded and not settings.collections and not no_samples

    async def announce(started: "Running") -> None:
        if samples:
            await _fill(started.services, settings.data_folder)
        await _wait_until_ready(started.services)
        tell_problems(wanted=True)
        await _explain(started, target)

    chosen_port = settings.http.port if port is None else port
    run(Serving(settings=settings, host=host or settings.http.host, ports=(chosen_port,)), announce)
    note("Stopped.")


async def _fill(services: "Services", folder: Path) -> None:
    """Fill in the samples once: whoever removes them all does not want them back."""
    marker = folder / _MARKER
    if marker.exists():
        return
    if await _is_empty(services):
        from rtrag.samples import sample_documents  # noqa: PLC0415 - on the first start alone

        for sample in sample_documents():
            written = await services.documents.create(
                None, sample.id, sample.title, sample.content, dict(sample.metadata)
            )
        with contextlib.suppress(RequestError):  # what holds them up is told by whoever waits until all is ready
            await services.operations.wait_visible(written.token, None)
    try:
        marker.write_text("The sample documents were filled in; they are not filled in again.\n", encoding="utf-8")
    except OSError as exc:
        note(
            f"{marker} cannot be written ({exc.strerror}): if you remove all samples, the next start brings them back."
        )


async def _is_empty(services: "Services") -> bool:
    try:
        _, total = await services.documents.list(None, limit=1, offset=0, search=None)
    except TooSlowError:
        return False  # so many that counting them takes too long
    return total == 0


async def _wait_until_ready(services: "Services") -> None:
    """Until questions are answered from a current index, with progress where that takes long."""
    import asyncio  # noqa: PLC0415 - keeps other commands quick

    shown = ""
    while not (status := await services.operations.status()).ready:
        text = _held_up(status)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
        elif text != shown:
            note(text)
        shown = text
        await asyncio.sleep(_POLL_SECONDS)
    if shown and sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")


def _held_up(status: "PipelineStatus") -> str:
    """What there is to wait for: progress in the place of the words that say that a copy is under way."""
    progress = [f"{copy.table}: {copy.copied:,} of about {copy.rows:,} rows" for copy in status.copying]
    problems = [text for text in status.problems if not (progress and text.startswith("The tables are being copied"))]
    if status.phase == "starting" and len(problems) > 1:
        problems.append("Start PostgreSQL, or stop with Ctrl-C and correct POSTGRES_URL; `rtrag doctor` tells more.")
    return plain(" ".join([*progress, *problems]))


async def _explain(started: "Running", target: Target) -> None:
    status = await started.services.operations.status()
    counts = status.counts
    say(f"{styled('Ready', 'green')} at {styled(started.url, 'bold')}  (API: {started.url}/docs)")
    say(f"{counts.get('documents', 0):,} documents, {counts.get('chunks', 0):,} chunks. Ctrl-C stops.")
    try:
        sample = await started.services.documents.get(None, _SAMPLE)
    except RtragError:
        return  # documents of the user's own, or a database that went away just now: then there is nothing to show
    if _OLD in sample.content:
        for number, (text, command) in enumerate(_to_try(started.url, _command(target)), start=1):
            say(f"\n{number}. {text}\n   {styled(command, 'cyan')}")


def _to_try(url: str, rtrag: str) -> list[tuple[str, str]]:
    ask = f"{rtrag} query {shlex.quote(_QUESTION)}"
    update = f"UPDATE documents SET content = replace(content, '{_OLD}', '{_NEW}') WHERE id = '{_SAMPLE}'"
    body = f'{{"query": "{_QUESTION}"}}'
    return [
        ("Ask, in another terminal:", ask),
        ("Change the row behind the answer:", f'{rtrag} psql -c "{update}"'),
        (
            "Ask again; over HTTP this time:",
            f"curl -s {url}/query -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        ),
    ]


def _command(target: Target) -> str:
    """``rtrag`` with the options that lead another command to this instance."""
    import shutil  # noqa: PLC0415 - keeps other commands quick

    parts = ["rtrag" if shutil.which("rtrag") else sys.argv[0]]
    if target.config is not None:
        parts += ["--config", str(target.config)]
    if target.data is not None:
        parts += ["--data", str(target.data)]
    return shlex.join(parts)

"""``rtrag import``: files become documents. What is there already is changed only where it differs."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from rtrag.entrypoints.cli.client import Api, document_path
from rtrag.entrypoints.cli.errors import FAILURE, USAGE, ApiError, CommandError
from rtrag.entrypoints.cli.files import SUFFIXES, FoundDocument, UnreadableFileError, count_documents, find_files, read
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import open_api
from rtrag.entrypoints.cli.output import note, plain, say

_CONFLICT = 409
_NOT_FOUND = 404
_SHOWN_FAILURES = 20


def import_files(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="A file, or a folder with all below it.")],
    *,
    collection: Annotated[str | None, typer.Option(help="Name of a collection; the first one by default.")] = None,
) -> None:
    """Import Markdown, reStructuredText, HTML, plain text, and JSON lines (id, title, content, metadata).

    A file's id is its path below the folder. Importing again changes what differs and leaves the rest alone.
    """
    if not source.exists():
        raise CommandError(f"There is no {source}.", fix="name a file or a folder.", code=USAGE)
    files = find_files(source)
    if not files:
        raise CommandError(f"{source} has no file to import.", fix=f"these are read: {', '.join(SUFFIXES)}.")
    target: Target = context.obj
    with open_api(target, make_folder=True) as api:
        counts, failures = _import_all(api, source, files, collection)
    say(f"{counts['added']} added, {counts['changed']} changed, {counts['unchanged']} unchanged.")
    if failures:
        for failure in failures[:_SHOWN_FAILURES]:
            note(plain(failure))
        if len(failures) > _SHOWN_FAILURES:
            note(f"... and {len(failures) - _SHOWN_FAILURES:,} more.")
        raise CommandError(f"{len(failures)} could not be imported.", fix="see the lines above.", code=FAILURE)


def _import_all(api: Api, source: Path, files: list[Path], collection: str | None) -> tuple[Counter[str], list[str]]:
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only needed here
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - as above

    counts: Counter[str] = Counter()
    failures: list[str] = []
    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("importing", total=sum(count_documents(file) for file in files))
        for document in _documents(source, files, failures):
            try:
                counts[put_document(api, document, collection)] += 1
            except ApiError as error:
                if error.status in {401, 404, 405, 503}:
                    raise  # every other document would fail the same way
                failures.append(f"{document.place}: {error}")
            progress.advance(task)
    return counts, failures


def _documents(source: Path, files: list[Path], failures: list[str]) -> Iterator[FoundDocument]:
    for file in files:
        for found in read(file, source):
            if isinstance(found, UnreadableFileError):
                failures.append(str(found))
            else:
                yield found


def put_document(api: Api, document: FoundDocument, collection: str | None) -> str:
    """Add the document, or change it where it differs: ``added``, ``changed`` or ``unchanged``."""
    params = {"collection": collection}
    body: dict[str, Any] = {"title": document.title, "content": document.content, "metadata": document.metadata}
    try:
        api.call("POST", "/api/documents", {"id": document.id, **body}, params=params)
    except ApiError as error:
        if error.status != _CONFLICT or document.id is None:
            raise
    else:
        return "added"
    path = document_path(document.path_id)
    try:
        standing = api.call("GET", path, params=params)
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        api.call("POST", "/api/documents", {"id": document.id, **body}, params=params)  # removed in between
        return "added"
    if all(standing[field] == value for field, value in body.items()):
        return "unchanged"
    api.call("PUT", path, body, params=params)
    return "changed"

"""``rtrag docs``: documents of a writable collection, one at a time."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rtrag.entrypoints.cli.client import document_path
from rtrag.entrypoints.cli.errors import USAGE, CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import open_api
from rtrag.entrypoints.cli.output import note, plain, say, show_json, styled

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id as `docs list` prints it.")]
CollectionOption = Annotated[str | None, typer.Option(help="Name of a collection; the first one by default.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the response as JSON.")]


def create_group() -> typer.Typer:
    """The commands."""
    group = typer.Typer(help="Add, list, read and remove documents.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_documents)
    group.command("get")(get)
    group.command("rm")(remove)
    return group


def add(  # noqa: PLR0913 - the options of the command
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="File with the content; - reads it from standard input.")] = None,
    *,
    content: Annotated[str | None, typer.Option(help="The content itself, instead of a file.")] = None,
    document_id: Annotated[str | None, typer.Option("--id", help="Primary key; made if left out.")] = None,
    title: Annotated[str, typer.Option(help="Title.")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", help="field=value; repeat for more.")
    ] = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a document and print its id and freshness token."""
    target: Target = context.obj
    body = {
        "id": document_id,
        "title": title,
        "content": _content(file, content),
        "metadata": _metadata(metadata or []),
    }
    with open_api(target, make_folder=True) as api:
        written = api.call("POST", "/api/documents", body, params={"collection": collection})
    _show_written("Added", written, as_json=as_json)


def list_documents(
    context: typer.Context,
    *,
    search: Annotated[str | None, typer.Option(help="Only documents that contain this text.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many to list.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out first.")] = 0,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """List documents in key order."""
    target: Target = context.obj
    params = {"search": search, "limit": limit, "offset": offset, "collection": collection}
    with open_api(target) as api:
        page = api.call("GET", "/api/documents", params=params)
    if as_json:
        show_json(page)
        return
    for document in page["documents"]:
        version = "" if document["version"] is None else f"  v{document['version']}"
        say(f"{styled(plain(document['id']), 'cyan')}{version}  {plain(document['title'])}")
    last = offset + len(page["documents"])
    if last < page["total"]:
        note(f"{last} of {page['total']}; more with --offset {last}.")


def get(
    context: typer.Context,
    document_id: IdArgument,
    *,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a document."""
    target: Target = context.obj
    with open_api(target) as api:
        document = api.call("GET", document_path(document_id), params={"collection": collection})
    if as_json:
        show_json(document)
        return
    version = "" if document["version"] is None else f", version {document['version']}"
    note(styled(f"{plain(document['key'])}{version}: {plain(document['title'])}", "dim", to_stderr=True))
    for field, value in document["metadata"].items():
        note(styled(plain(f"{field}: {value}"), "dim", to_stderr=True))
    say(plain(document["content"]))


def remove(
    context: typer.Context,
    document_id: IdArgument,
    *,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a document and print the freshness token."""
    target: Target = context.obj
    with open_api(target) as api:
        written = api.call("DELETE", document_path(document_id), params={"collection": collection})
    _show_written("Removed", written, as_json=as_json)


def _show_written(what: str, written: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(written)
        return
    say(f"{what} {styled(plain(written['id']), 'cyan')}")
    say(styled(f"token {written['token']}", "dim"))


def _content(file: Path | None, content: str | None) -> str:
    if (file is None) == (content is None):
        raise CommandError("The content is missing or given twice.", fix="name a FILE, or give --content.", code=USAGE)
    if content is not None:
        return content
    try:
        read = sys.stdin.buffer.read() if str(file) == "-" else Path(str(file)).read_bytes()
        return read.decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise CommandError(f"{file} cannot be read: {exc}.", fix="name a file of UTF-8 text.", code=USAGE) from exc


def _metadata(texts: list[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for text in texts:
        field, separator, value = text.partition("=")
        if not separator or not field:
            raise CommandError(f"{text!r} is not metadata.", fix="write field=value.", code=USAGE)
        metadata[field] = value
    return metadata

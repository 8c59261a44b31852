"""``rtrag query``: ask in the terminal, once or for as long as the answer changes."""

import json
import re
import time
from typing import Annotated, Any

import typer

from rtrag.entrypoints.cli.client import Api
from rtrag.entrypoints.cli.errors import USAGE, CommandError
from rtrag.entrypoints.cli.instance import Target
from rtrag.entrypoints.cli.local import open_api
from rtrag.entrypoints.cli.output import note, plain, say, show_json, styled

_FILTER = re.compile(r"(?P<field>[^=<>!]+)(?P<operator>!=|>=|<=|=|<|>)(?P<value>.*)", re.DOTALL)
_OPERATORS = {"!=": "ne", ">=": "gte", "<=": "lte", "<": "lt", ">": "gt"}
_QUOTE_LENGTH = 240
_FOLLOW_SECONDS = 0.1


def query(  # noqa: PLR0913 - the options of the command
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The question, in plain words.")],
    *,
    collection: Annotated[str | None, typer.Option(help="Name of a collection; the first one by default.")] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", "-f", help="Metadata to filter by: team=platform, year>=2020; repeat for more."),
    ] = None,
    token: Annotated[str | None, typer.Option(help="Freshness token of a write, or an LSN.")] = None,
    wait_ms: Annotated[float | None, typer.Option(min=0, help="How long to wait for freshness.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Ask again whenever the index moves.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the response as JSON.")] = False,
) -> None:
    """Ask a question and print the answer with its citations."""
    target: Target = context.obj
    body = {
        "query": text,
        "collection": collection,
        "filters": parse_filters(filters or []),
        "min_position": token,
        "wait_ms": wait_ms,
    }
    with open_api(target) as api:
        if follow:
            _follow(api, body, as_json=as_json)
        else:
            _show(api.call("POST", "/query", body), as_json=as_json)


def parse_filters(texts: list[str]) -> dict[str, Any]:
    """Filters as the API takes them: the same field twice with ``=`` is a list, comparisons make a range."""
    filters: dict[str, Any] = {}
    for text in texts:
        found = _FILTER.fullmatch(text)
        if found is None:
            raise CommandError(
                f"{text!r} is not a filter.",
                fix="write field=value, or field!=value, field>=value, field<=value, field>value, field<value.",
                code=USAGE,
            )
        field, value = found["field"].strip(), _scalar(found["value"])
        if found["operator"] == "=":
            _add_equal(filters, field, value)
        else:
            _add_comparison(filters, field, _OPERATORS[found["operator"]], value)
    return filters


def _add_equal(filters: dict[str, Any], field: str, value: Any) -> None:
    standing = filters.get(field)
    if isinstance(standing, dict):
        raise _mixed(field)
    filters[field] = value if standing is None else [*(standing if isinstance(standing, list) else [standing]), value]


def _add_comparison(filters: dict[str, Any], field: str, operator: str, value: Any) -> None:
    standing = filters.setdefault(field, {})
    if not isinstance(standing, dict):
        raise _mixed(field)
    standing[operator] = value


def _mixed(field: str) -> CommandError:
    return CommandError(
        f"The filters on {field!r} mix = with a comparison.", fix="use one or the other for a field.", code=USAGE
    )


def _scalar(text: str) -> Any:
    """Numbers and true/false as such, the rest as text; quotes make a text of anything."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _follow(api: Api, body: dict[str, Any], *, as_json: bool) -> None:
    """Print the answer, and again whenever it has changed. Ctrl-C ends it."""
    seen_lsn = shown = None
    while True:
        lsn = api.call("GET", "/health")["visible_lsn"]
        if lsn != seen_lsn:
            seen_lsn = lsn
            answer = api.call("POST", "/query", body)
            evidence = (answer["answer"], [citation["chunk_ids"] for citation in answer["citations"]])
            if evidence != shown:
                if shown is not None and not as_json:
                    note(styled(f"\n-- changed at {time.strftime('%H:%M:%S')}", "yellow", to_stderr=True))
                shown = evidence
                _show(answer, as_json=as_json)
        time.sleep(_FOLLOW_SECONDS)


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    say(styled(plain(answer["answer"]), "bold") if answer["sufficient"] else plain(answer["answer"]))
    if answer["citations"]:
        say()
    for citation in answer["citations"]:
        version = f", version {citation['version']}" if citation["version"] is not None else ""
        place = " > ".join([citation["title"] or citation["id"], *citation["heading_path"]])
        say(f"{_number(citation)} {plain(place)}")
        say(styled(f"    {plain(citation['document'])}{version}", "dim"))
        say(f"    {_shortened(plain(citation['quote']))}")
    as_of = answer["as_of"]
    say(styled(f"\nas of {as_of['position']}, {as_of['lag_ms']:.0f} ms ago; {answer['total_sources']} sources", "dim"))
    if as_of["stale_reason"]:
        note(styled(f"May be stale: {as_of['stale_reason']}", "yellow", to_stderr=True))


def _number(citation: dict[str, Any]) -> str:
    return styled(f"[{citation['number']}]", "cyan")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE_LENGTH else f"{line[: _QUOTE_LENGTH - 1]}…"

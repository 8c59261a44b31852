"""Documents in files: Markdown, reStructuredText, HTML, plain text, and JSON lines."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

MARKUP = (".md", ".markdown", ".rst", ".html", ".htm", ".txt", ".text")
LINES = (".jsonl", ".ndjson")
SUFFIXES = (*MARKUP, *LINES)
_FIELDS = frozenset({"id", "title", "content", "metadata"})
_MARKDOWN_TITLE = re.compile(r"^#[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n", re.DOTALL)
_FRONT_MATTER_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE | re.IGNORECASE)
_RST_TITLE = re.compile(r"^(?:([=\-~^\"*#+]{3,})\n)?[ \t]*(\S.*?)[ \t]*\n([=\-~^\"*#+]{3,})[ \t]*$", re.MULTILINE)
_HEADER_TITLE = re.compile(r"\A(?:[A-Za-z-]+:.*\n(?:[ \t]+.*\n)*)*?Title:[ \t]*(.+)")
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]+>")


class UnreadableFileError(Exception):
    """A file, or a line of one, is no document; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDocument:
    """A document as a file has it. ``place`` is for messages; ``id`` None lets the database choose."""

    place: str
    id: str | None
    title: str
    content: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def path_id(self) -> str:
        """The id as paths of the API show it."""
        return quote(self.id or "", safe=".~-_:@ ")


def find_files(source: Path) -> list[Path]:
    """The files to import, in order; hidden ones and those of other kinds are left out."""
    if source.is_file():
        return [source]
    found = (path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(source).parts))


def count_documents(file: Path) -> int:
    """How many documents a file holds, for progress; one that cannot be read counts as one, as it is told of once."""
    if file.suffix.lower() not in LINES:
        return 1
    try:
        with file.open("rb") as lines:
            return sum(bool(line.strip()) for line in lines)
    except OSError:
        return 1


def read(file: Path, source: Path) -> Iterator[FoundDocument | UnreadableFileError]:
    """The documents of a file, and in the place of one that cannot be read the error that says why."""
    try:
        content = _text(file)
    except UnreadableFileError as error:
        yield error
        return
    if file.suffix.lower() in LINES:
        yield from _lines(content, file)
        return
    document_id = file.relative_to(source).as_posix() if source.is_dir() else file.name
    yield FoundDocument(place=str(file), id=document_id, title=title_of(content, file), content=content)


def title_of(content: str, file: Path) -> str:
    """The first heading, the title of front matter or header fields, else the file's name."""
    match file.suffix.lower():
        case ".md" | ".markdown":
            front = _FRONT_MATTER.match(content)
            found = (_FRONT_MATTER_TITLE.search(front[1]) if front else None) or _MARKDOWN_TITLE.search(content)
            title = found[1] if found else ""
        case ".rst":
            header, heading = _HEADER_TITLE.match(content), _RST_TITLE.search(content)
            title = header[1] if header else heading[2] if heading else ""
        case ".html" | ".htm":
            html = _HTML_TITLE.search(content)
            title = " ".join(unescape(_TAG.sub(" ", html[1] or html[2] or "")).split()) if html else ""
        case _:
            title = ""
    return title.strip() or file.stem


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return opened.read()
    except UnicodeDecodeError as exc:
        raise UnreadableFileError(f"{file}: not UTF-8 text (byte {exc.start}); convert it.") from exc
    except OSError as exc:
        raise UnreadableFileError(f"{file}: cannot be read: {exc.strerror}.") from exc


def _lines(content: str, file: Path) -> Iterator[FoundDocument | UnreadableFileError]:
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                yield _document_of(line, f"{file}:{number}")
            except UnreadableFileError as error:
                yield error


def _document_of(line: str, place: str) -> FoundDocument:
    try:
        found = json.loads(line)
    except ValueError as exc:
        raise UnreadableFileError(f"{place}: not JSON: {exc}.") from exc
    if not isinstance(found, dict) or not isinstance(found.get("content"), str):
        raise UnreadableFileError(f"{place}: expected an object with a text `content`.")
    if unknown := sorted(set(found) - _FIELDS):
        raise UnreadableFileError(f"{place}: unknown field {unknown[0]!r}; put it into `metadata`.")
    document_id, metadata = found.get("id"), found.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise UnreadableFileError(f"{place}: `metadata` is no object.")
    return FoundDocument(
        place=place,
        id=None if document_id is None else str(document_id),
        title=str(found.get("title") or ""),
        content=found["content"],
        metadata=metadata,
    )

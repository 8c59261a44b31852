"""A small handbook of an invented company, to try things out: facts that are fun to change."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleDocument:
    """A sample: ``content`` is Markdown without its front matter, which became title and metadata."""

    id: str
    title: str
    content: str
    metadata: Mapping[str, str]


def sample_documents() -> tuple[SampleDocument, ...]:
    """The samples, ``doc-1``, ``doc-2``, … in the order of their files."""
    files = sorted(
        (file for file in resources.files("rtrag.samples").iterdir() if file.name.endswith(".md")),
        key=lambda file: file.name,
    )
    return tuple(_read(number, file) for number, file in enumerate(files, start=1))


def _read(number: int, file: Traversable) -> SampleDocument:
    """Our own files have a front matter of plain ``name: value`` lines."""
    _, head, body = file.read_text(encoding="utf-8").split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    title = fields.pop("title")
    return SampleDocument(id=f"doc-{number}", title=title, content=body.lstrip("\n"), metadata=fields)

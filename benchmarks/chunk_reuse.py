"""How much of a document is embedded again after an edit: a replay of edit streams through the chunker alone.

For every update, the chunks whose embedding input is not among those of the version before are counted, by the
characters of their text, and set against the least possible (``NAME.reuse.json``). Front matter is never embedded.
``with_memo_chars`` spares also what the last 20,000 embedding inputs of all documents hold. The variants say what the
count would be with nothing, or more than the title, added to a chunk's text.

    python -m benchmarks.chunk_reuse --data DIR [--stream NAME ...] [--json]
"""

import argparse
import json
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a file as well as by -m

from benchmarks.streams import Event, StartDocument, Stream, names

from rtrag.domain.chunk import embedding_input
from rtrag.domain.chunking import detect_format, split

MEMO_ENTRIES = 20_000
VARIANTS = ("text", "last_heading", "heading_path")


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk of a version: its length, what is embedded of it (None: nothing), and that by variant."""

    chars: int
    dense: int | None
    variants: tuple[int, ...] = ()


@dataclass(slots=True)
class Counts:
    """What one stream, or several together, came to. Means are over all chunks, front matter included."""

    updates: int = 0
    embedded_chars: int = 0
    with_memo_chars: int = 0
    variant_chars: list[int] = field(default_factory=lambda: [0] * len(VARIANTS))
    bound_chars: float = 0.0
    chunks: int = 0
    chunk_chars: int = 0
    body_chunks: int = 0
    body_chars: int = 0
    longest_body_chunk: int = 0

    def add(self, other: "Counts") -> None:
        """Join the counts of another stream."""
        self.longest_body_chunk = max(self.longest_body_chunk, other.longest_body_chunk)
        self.variant_chars = [
            mine + theirs for mine, theirs in zip(self.variant_chars, other.variant_chars, strict=True)
        ]
        for name in asdict(self).keys() - {"longest_body_chunk", "variant_chars"}:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def figures(self) -> dict[str, float]:
        """The figures to report; lengths of chunks are those of the documents at the end."""
        bound = self.bound_chars or float("nan")
        return {
            "updates": self.updates,
            "embedded_chars": self.embedded_chars,
            "bound_chars": round(self.bound_chars),
            "embedded_over_bound": round(self.embedded_chars / bound, 4),
            "with_memo_over_bound": round(self.with_memo_chars / bound, 4),
            **{
                f"{name}_over_bound": round(chars / bound, 4)
                for name, chars in zip(VARIANTS, self.variant_chars, strict=True)
            },
            "mean_chunk_chars": round(self.chunk_chars / max(self.chunks, 1), 1),
            "mean_body_chunk_chars": round(self.body_chars / max(self.body_chunks, 1), 1),
            "longest_body_chunk": self.longest_body_chunk,
        }


class Memo:
    """The last embedding inputs that were asked for."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._kept: OrderedDict[int, None] = OrderedDict()

    def spares(self, key: int) -> bool:
        """Whether the input is known; it is from now on."""
        known = key in self._kept
        self._kept[key] = None
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)
        return known


def pieces_of(document_id: str, title: str, content: str) -> tuple[Piece, ...]:
    """The chunks of a version as they are counted."""
    form = detect_format(document_id, content)
    pieces = []
    for chunk in split(content, form):
        text = embedding_input(title, chunk)
        if text is None:
            pieces.append(Piece(len(chunk.text), None))
            continue
        variants = (chunk.text.strip(), (text, chunk.heading_path[-1:]), (text, chunk.heading_path))
        pieces.append(Piece(len(chunk.text), hash(text), tuple(hash(variant) for variant in variants)))
    return tuple(pieces)


def replay(stream: Stream, start: Iterable[StartDocument], events: Iterable[Event]) -> Counts:
    """Count over all events of a stream."""
    counts, memo = Counts(), Memo(MEMO_ENTRIES)
    versions = {document.id: pieces_of(document.id, document.title, document.content) for document in start}
    for pieces in versions.values():
        _count_update(Counts(), memo, (), pieces)
    for event in events:
        before = versions.pop(event.previous_id, ())
        if event.content is None:
            continue
        after = versions[event.id] = pieces_of(event.id, event.title, event.content)
        is_update = event.operation == "update"
        _count_update(counts if is_update else Counts(), memo, before, after)
    _count_lengths(counts, versions)
    reuse = stream.reuse()
    counts.bound_chars = reuse.bound_chars if reuse else 0.0
    return counts


def _count_update(counts: Counts, memo: Memo, before: Sequence[Piece], after: Sequence[Piece]) -> None:
    counts.updates += 1
    known = {piece.dense for piece in before}
    known_variants = [{piece.variants[index] for piece in before if piece.variants} for index in range(len(VARIANTS))]
    for piece in after:
        if piece.dense is None:
            continue
        spared = memo.spares(piece.dense)
        if piece.dense not in known:
            counts.embedded_chars += piece.chars
            counts.with_memo_chars += 0 if spared else piece.chars
        for index, variant in enumerate(piece.variants):
            if variant not in known_variants[index]:
                counts.variant_chars[index] += piece.chars


def _count_lengths(counts: Counts, versions: Mapping[str, Sequence[Piece]]) -> None:
    for piece in (piece for pieces in versions.values() for piece in pieces):
        counts.chunks += 1
        counts.chunk_chars += piece.chars
        if piece.dense is not None:
            counts.body_chunks += 1
            counts.body_chars += piece.chars
            counts.longest_body_chunk = max(counts.longest_body_chunk, piece.chars)


def main() -> None:
    """Replay the streams asked for and print what they came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with NAME.start, NAME.events, NAME.reuse.json")
    parser.add_argument("--stream", nargs="+", help="names of streams; all of the folder by default")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line, no progress bar")
    options = parser.parse_args()
    together = Counts()
    report: dict[str, dict[str, float]] = {}
    for name in options.stream or names(options.data):
        stream = Stream(folder=options.data, name=name)
        events = stream.events()
        shown = events if options.json else track(events, description=name, total=stream.count_events())
        counts = replay(stream, stream.start(), shown)
        together.add(counts)
        report[name] = counts.figures()
    report["together"] = together.figures()
    if options.json:
        print(json.dumps(report))
        return
    for name, figures in report.items():
        print(name)
        for key, value in figures.items():
            print(f"  {key:24} {value:>14,}")


if __name__ == "__main__":
    main()

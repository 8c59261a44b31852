"""Front matter among the sources: whose, and at which place."""

from collections.abc import Iterable

import pytest

from rtrag.domain.chunk import Chunk, ChunkingIdentity, identify
from rtrag.domain.context import HEADED, LEADING, best_headers, header_of, raise_headers
from rtrag.domain.document import Document, DocumentKey
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.position import Position
from rtrag.domain.retrieval import Passage

IDENTITY = ChunkingIdentity(chunker_version="1", model_id="m", dimensions=2)
BODIES = 30


class Documents:
    """Documents of front matter and ``BODIES`` chunks each; ``bare`` has no front matter."""

    def __init__(self, *names: str) -> None:
        self._points: dict[str, list[ChunkPoint]] = {}
        self._manifests: dict[str, Manifest] = {}
        for name in names:
            head = [] if name == "bare" else [Chunk(text=f"Name: {name}\n\n", kind="front_matter")]
            chunks = [*head, *(Chunk(text=f"{name} {number}\n") for number in range(BODIES))]
            self._add(name, chunks)

    def _add(self, name: str, chunks: list[Chunk]) -> None:
        key = DocumentKey("public.documents", (name,))
        identified = identify(Document(key=key, title=name, content=""), chunks, IDENTITY)
        position = Position(1, 1, 0)
        ids = tuple(item.id for item in identified)
        self._manifests[name] = Manifest(key=key, position=position, chunk_ids=ids)
        self._points[name] = [
            ChunkPoint(
                id=item.id,
                key=key,
                text=item.chunk.text,
                title=name,
                heading_path=(),
                kind=item.chunk.kind,
                filterable={},
                position=position,
                dense=None,
            )
            for item in identified
        ]

    def ranked(self, *places: tuple[str, int]) -> list[Passage]:
        """Passages by document and number of the chunk, in this order, with falling scores."""
        return [
            Passage(chunk=self._points[name][number], manifest=self._manifests[name], score=1 - place / 100)
            for place, (name, number) in enumerate(places)
        ]

    def raised(self, *places: tuple[str, int]) -> tuple[Passage, ...]:
        """The same with the headers of the best documents."""
        passages = self.ranked(*places)
        wanted = best_headers(passages)
        everything = {point.id: point for points in self._points.values() for point in points}
        return raise_headers(passages, {header: everything[header] for header in wanted})

    def header(self, name: str) -> str:
        return header_of(self._manifests[name])


def texts(passages: Iterable[Passage]) -> list[str]:
    return [passage.chunk.text.strip() for passage in passages]


def body(name: str, count: int) -> list[tuple[str, int]]:
    return [(name, number) for number in range(1, count + 1)]


def test_the_front_matter_of_the_best_documents_follows_the_leading_passages() -> None:
    documents = Documents("a", "b")
    found = documents.raised(*body("a", LEADING - 1), ("b", 1), ("a", 9))
    assert texts(found[LEADING - 1 :]) == ["b 0", "Name: a", "Name: b", "a 8"]


def test_a_document_found_further_down_shows_its_front_matter_behind_its_first_passage() -> None:
    documents = Documents("a", "b")
    found = documents.raised(*body("a", LEADING + 3), ("b", 1), ("a", 20))
    assert texts(found[-3:]) == ["b 0", "Name: b", "a 19"]


def test_front_matter_that_stands_higher_by_itself_stays_there() -> None:
    documents = Documents("a")
    found = documents.raised(("a", 1), ("a", 0), *body("a", LEADING + 3)[1:])
    assert texts(found)[:3] == ["a 0", "Name: a", "a 1"]
    assert texts(found).count("Name: a") == 1


def test_front_matter_found_at_a_low_place_is_moved_up_and_not_repeated() -> None:
    documents = Documents("a")
    found = documents.raised(*body("a", LEADING + 5), ("a", 0))
    assert texts(found)[LEADING] == "Name: a"
    assert texts(found).count("Name: a") == 1


def test_only_the_best_documents_show_their_front_matter() -> None:
    names = [f"d{number}" for number in range(HEADED + 2)]
    found = Documents(*names).raised(*((name, 1) for name in names))
    assert [text for text in texts(found) if text.startswith("Name")] == [f"Name: {name}" for name in names[:HEADED]]


def test_a_document_without_front_matter_takes_a_place_among_the_best() -> None:
    documents = Documents("bare", "a", "b", "c")
    passages = documents.ranked(("bare", 0), ("a", 1), ("b", 1), ("c", 1))
    assert best_headers(passages) == tuple(documents.header(name) for name in "ab")


def test_scores_fall_from_first_to_last_with_raised_front_matter_among_them() -> None:
    found = Documents("a", "b").raised(*body("a", LEADING + 1), ("b", 1), ("a", 20))
    scores = [passage.score for passage in found]
    assert scores == sorted(scores, reverse=True)


def test_fewer_passages_than_lead_are_followed_by_the_front_matter() -> None:
    assert texts(Documents("a").raised(("a", 1))) == ["a 0", "Name: a"]


@pytest.mark.parametrize("length", range(1, 16))
def test_the_first_passages_are_the_same_however_many_are_asked_for(length: int) -> None:
    documents = Documents("a", "b", "c", "d")
    places = [*body("a", 3), ("b", 4), *body("b", 3), ("a", 0), *body("c", 2), ("d", 2), ("c", 0), *body("d", 1)]
    whole, part = documents.raised(*places), documents.raised(*places[:length])
    assert texts(part)[:length] == texts(whole)[:length]


def test_a_header_that_is_gone_by_now_is_left_out() -> None:
    passages = Documents("a").ranked(("a", 1))
    assert raise_headers(passages, {}) == tuple(passages)

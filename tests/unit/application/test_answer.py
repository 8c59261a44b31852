"""The read path: what an answer rests on, what is remembered, what is refused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from application_bench import TABLE, Bench, delete, upsert
from rtrag.application.answer import AnswerService, AnswerSettings, Readers
from rtrag.application.freshness import Freshness
from rtrag.application.gate import FreshnessGate
from rtrag.application.questions import Answer, Question, Retrieval
from rtrag.application.search import Search, SearchSettings
from rtrag.application.services import Collection
from rtrag.domain.conditions import Condition
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import InvalidRequestError, NotFoundError
from rtrag.domain.manifest import Manifest, Operation, SweepChunks
from rtrag.domain.mapping import TableMapping
from rtrag.domain.retrieval import Candidates, SearchRequest
from rtrag.ports.generation import TextDelta
from rtrag.ports.index import Records
from rtrag.testing.generation import EchoGenerator
from rtrag.testing.index import InMemoryIndex


class DictCache:
    """Port Cache."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.values[key] = value


class Asked:
    """An answer service over a bench."""

    def __init__(
        self, bench: Bench | None = None, settings: AnswerSettings | None = None, search: SearchSettings | None = None
    ) -> None:
        self.bench = bench or Bench()
        self.generator = EchoGenerator()
        self.freshness = Freshness()
        collections = {
            "documents": Collection(name="documents", tables=(TableMapping(table=TABLE),)),
            "others": Collection(name="others", tables=(TableMapping(table="public.others"),)),
        }
        gate = FreshnessGate(freshness=self.freshness, index=self.bench.index, letters=self.bench.letters)
        readers = Readers(
            search=Search(self.bench.index, search or SearchSettings()),
            embedder=self.bench.embedder,
            generator=self.generator,
            answer_cache=DictCache(),
            question_vectors=DictCache(),
            freshness=self.freshness,
            gate=gate,
            totals=self.bench.totals,
        )
        self.service = AnswerService(readers, collections, settings or AnswerSettings())

    async def ask(self, text: str, **rest: object) -> Answer:
        return await self.service.ask(Question(text=text, **rest))  # type: ignore[arg-type]


async def test_an_answer_cites_the_version_and_position_of_what_it_rests_on() -> None:
    asked = Asked()
    change = upsert(7, "a", "The price is 12 euros.", title="Prices")
    await asked.bench.apply(replace(change, draft=replace(change.draft, version=3)))
    answer = await asked.ask("What is the price?")
    [citation] = answer.citations
    assert (citation.key.id, citation.version, citation.position.lsn) == ("a", 3, 7)
    assert answer.text == "The price is 12 euros. [1]"


async def test_an_answer_is_remembered_until_its_evidence_changes() -> None:
    asked = Asked()
    await asked.bench.apply(upsert(1, "a", "The price is 12 euros."))
    assert not (await asked.ask("price")).memoised
    assert (await asked.ask("price")).memoised
    await asked.bench.apply(upsert(2, "a", "The price is 13 euros."))
    changed = await asked.ask("price")
    assert not changed.memoised
    assert "13 euros" in changed.text


async def test_a_change_back_finds_the_remembered_answer_with_the_new_version() -> None:
    asked = Asked()
    await asked.bench.apply(upsert(1, "a", "The price is 12 euros."))
    await asked.ask("price")
    await asked.bench.apply(upsert(2, "a", "The price is 13 euros."))
    await asked.bench.apply(upsert(3, "a", "The price is 12 euros."))
    answer = await asked.ask("price")
    assert answer.memoised
    assert answer.citations[0].position.lsn == 3


async def test_a_change_elsewhere_leaves_the_remembered_answer_alone() -> None:
    asked = Asked(settings=AnswerSettings(context_passages=1))
    await asked.bench.apply(upsert(1, "a", "The price is 12 euros."), upsert(2, "b", "Dogs travel free."))
    await asked.ask("price euros")
    await asked.bench.apply(upsert(3, "b", "Cats travel free."))
    assert (await asked.ask("price euros")).memoised


async def test_deleted_documents_are_not_found() -> None:
    asked = Asked()
    await asked.bench.apply(upsert(1, "a", "The price is 12 euros."), delete(2, "a"))
    answer = await asked.ask("price")
    assert (answer.sources, answer.citations, answer.sufficient) == ((), (), False)


async def test_filters_are_checked_against_the_manifest() -> None:
    asked = Asked()
    await asked.bench.apply(
        upsert(1, "a", "The price is 12 euros.", metadata={"group": "x"}),
        upsert(2, "b", "The price is 15 euros.", metadata={"group": "y"}),
    )
    answer = await asked.ask("price", conditions=(Condition(field="group", operator="eq", value="y"),))
    assert [source.key.id for source in answer.sources] == ["b"]


async def test_sources_come_in_pages_and_the_answer_does_not_depend_on_the_page() -> None:
    asked = Asked()
    await asked.bench.apply(*[upsert(n, f"d{n}", f"The price number {n} is {n} euros.") for n in range(1, 8)])
    first = await asked.ask("price", page=1, page_size=3)
    second = await asked.ask("price", page=2, page_size=3)
    assert [s.rank for s in (*first.sources, *second.sources)] == [1, 2, 3, 4, 5, 6]
    assert first.total_sources == 7
    assert first.text == second.text


async def test_the_context_is_joined_with_neighbouring_chunks() -> None:
    asked = Asked(settings=AnswerSettings(context_passages=1, neighbours=1))
    parts = [f"{name} " + "filler " * 130 for name in ("alpha", "beta", "gamma")]
    await asked.bench.apply(upsert(1, "a", "\n\n".join(parts)))
    await asked.ask("beta")
    [(_, [passage])] = asked.generator.asked
    assert all(name in passage.text for name in ("alpha", "beta", "gamma"))


async def test_collections_are_searched_apart() -> None:
    asked = Asked()
    await asked.bench.apply(upsert(1, "a", "The price is 12 euros."))
    assert (await asked.ask("price", collection="others")).total_sources == 0
    with pytest.raises(NotFoundError, match="documents, others"):
        await asked.ask("price", collection="nothing")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"text": "  "}, "empty"), ({"page": 0}, "page counts from 1"), ({"page_size": 1000}, "page_size")],
)
async def test_a_question_that_is_not_valid_says_why(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        await Asked().service.ask(Question(**{"text": "price", **wrong}))  # type: ignore[arg-type]


async def test_a_streamed_answer_is_the_same_answer() -> None:
    asked = Asked()
    await asked.bench.apply(upsert(1, "a", "The price is 12 euros."))
    events = [event async for event in asked.service.stream(Question(text="price"))]
    assert isinstance(events[0], Retrieval)
    whole = events[-1]
    assert isinstance(whole, Answer)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == whole.text


class ChangingIndex(InMemoryIndex):
    """Changes a document between the search and the reading of its manifest, once."""

    bench: Bench
    changed = False

    async def search(self, request: SearchRequest) -> Candidates:
        found = await super().search(request)
        if not self.changed:
            self.changed = True
            await self.bench.apply(upsert(2, "a", "The price is 13 euros."))
        return found


async def test_a_document_that_changes_during_the_search_is_found_in_its_new_version() -> None:
    index = ChangingIndex()
    asked = Asked(Bench(index=index))
    index.bench = asked.bench
    index.changed = True
    await asked.bench.apply(upsert(1, "a", "The price is 12 euros."))
    index.changed = False
    answer = await asked.ask("price")
    assert [source.text for source in answer.sources] == ["The price is 13 euros."]


class UnsweptIndex(InMemoryIndex):
    """What a large batch leaves between its last switch and its sweeps."""

    async def write(self, operations: Sequence[Operation]) -> None:
        await super().write([each for each in operations if not isinstance(each, SweepChunks)])


@pytest.mark.parametrize("depth", [8, 120])
async def test_any_number_of_replaced_chunks_that_are_not_swept_yet_hides_nothing(depth: int) -> None:
    asked = Asked(Bench(index=UnsweptIndex()), search=SearchSettings(depth=depth))
    names = [f"d{number}" for number in range(90)]
    await asked.bench.apply(*(upsert(1, name, f"The price, the price of {name}.") for name in names))
    await asked.bench.apply(*(upsert(2, name, f"Of {name} nobody knows.") for name in names))
    answer = await asked.ask("the price")
    assert len(answer.sources) == 10
    assert all("nobody" in source.text for source in answer.sources)


class ForgetfulIndex(InMemoryIndex):
    """Has chunks that no manifest lists, as after a crash."""

    async def records(self, keys: Sequence[DocumentKey], tables: Sequence[str] = ()) -> Records:
        found = await super().records(keys, tables)
        hidden = {key: Manifest(key=key, position=m.position) for key, m in found.manifests.items()}
        return Records(manifests=hidden, tables=found.tables)


async def test_a_chunk_that_no_manifest_lists_is_never_shown() -> None:
    bench = Bench()
    await bench.apply(upsert(1, "a", "The price is 12 euros."))
    forgetful = ForgetfulIndex()
    forgetful.__dict__.update(bench.index.__dict__)
    asked = Asked(Bench(index=forgetful))
    assert (await asked.ask("price")).sources == ()


async def test_the_front_matter_of_the_best_documents_joins_the_context() -> None:
    asked = Asked(settings=AnswerSettings(context_passages=1, neighbours=0))
    content = "---\nstatus: Final\nowner: Ada\n---\n\n# Timetable\n\nThe ferry leaves at nine.\n"
    await asked.bench.apply(upsert(1, "ferry.md", content, title="Ferry"))
    await asked.ask("When does the ferry leave?")
    [(_, [text, header])] = asked.generator.asked
    assert "leaves at nine" in text.text
    assert "status: Final" in header.text
    assert (text.number, header.number) == (1, 2)


def _with_header(number: int, body: str) -> str:
    return f"---\nnumber: {number}\nstate: open\n---\n\n# Text\n\n{body}\n"


async def test_the_first_page_shows_the_front_matter_of_documents_that_other_words_have_found() -> None:
    asked = Asked()
    texts = [f"The ferry of line {n} leaves at {n}. " + "ferry leaves " * n for n in range(1, 9)]
    changes = [upsert(n, f"f{n}.md", _with_header(n, text)) for n, text in enumerate(texts, start=1)]
    await asked.bench.apply(*changes)
    answer = await asked.ask("When does the ferry leave?", page_size=9)
    order = [source.key for source in answer.sources if "state:" not in source.text]
    headers = [source.key for source in answer.sources if "state:" in source.text]
    assert headers == order[:3]
    assert answer.total_sources == len(changes) + 3


async def test_pages_do_not_repeat_or_lose_sources_for_the_front_matter_among_them() -> None:
    asked = Asked()
    await asked.bench.apply(
        *[upsert(n, f"f{n}.md", _with_header(n, f"The ferry {n} leaves at nine.")) for n in range(1, 9)]
    )
    pages = [await asked.ask("a ferry that leaves at nine, number", page=page, page_size=5) for page in (1, 2, 3, 4)]
    shown = [source.chunk_id for page in pages for source in page.sources]
    assert len(shown) == len(set(shown)) == 16
    assert {page.total_sources for page in pages} == {16}

"""What every index must do."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from rtrag.domain.chunk import ChunkingIdentity
from rtrag.domain.conditions import Condition, all_match
from rtrag.domain.document import DocumentKey, Json
from rtrag.domain.manifest import (
    ChunkPoint,
    ForgetTombstone,
    Manifest,
    PutSourceState,
    PutTableState,
    SourceState,
    SweepChunks,
    SwitchManifest,
    TableState,
    UpsertChunks,
)
from rtrag.domain.position import MAX_LSN, Position
from rtrag.domain.retrieval import SearchRequest
from rtrag.ports.index import Index

DIMENSIONS = 4
KEY = DocumentKey("public.documents", ("doc-1",))
OTHER = DocumentKey("public.notes", ("n/1", "ü"))


def at(lsn: int, ordinal: int = 0, epoch: int = 1) -> Position:
    return Position(epoch, lsn, ordinal)


def chunk_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def chunk(number: int, position: Position, text: str = "plain words", **changes: Any) -> ChunkPoint:
    point = ChunkPoint(
        id=chunk_id(number),
        key=KEY,
        text=text,
        title="Title",
        heading_path=("One", "Two"),
        kind="body",
        filterable={},
        position=position,
        dense=(1.0, 0.0, 0.0, 0.0),
    )
    return replace(point, **changes)


def manifest(position: Position, *numbers: int, key: DocumentKey = KEY, deleted: bool = False) -> Manifest:
    return Manifest(key=key, position=position, chunk_ids=tuple(map(chunk_id, numbers)), deleted=deleted)


def source(durable_lsn: int) -> SourceState:
    return SourceState(
        name="main",
        system_identifier="7312345678901234567",
        timeline=1,
        slot="rtrag",
        epoch=2,
        durable_lsn=durable_lsn,
        identity=ChunkingIdentity(chunker_version="1", model_id="words", dimensions=DIMENSIONS),
    )


def request(**changes: Any) -> SearchRequest:
    return replace(SearchRequest(vector=(1.0, 0.0, 0.0, 0.0), text="plain words", limit=100), **changes)


async def found(index: Index, **changes: Any) -> set[str]:
    """Ids of what both searches find, which must agree."""
    candidates = await index.search(request(**changes))
    dense = set(candidates.dense)
    assert dense == set(candidates.lexical)
    return dense


VALUES: tuple[Json, ...] = (
    "apple",
    "pear",
    "",
    1,
    2,
    2.5,
    -3,
    0,
    True,
    False,
    None,
    [],
    ["apple", "plum"],
    [1, 7],
    ["apple", 1, None, True],
    [False, 2.5],
    2**53,
    2**53 + 1,
    2**70,
    1e308,
)
OPERANDS = ("apple", "b", "", 1, 2.5, 0, True, False, 2**53 + 1, 2**70, float("inf"))


class IndexContract:
    """Subclasses give a fixture ``index`` with an empty index of 4 dimensions."""

    async def test_it_is_fresh_until_something_is_written(self, index: Index) -> None:
        assert await index.state() == "fresh"
        await index.flush()
        assert await index.state() == "fresh"
        await index.write([PutTableState(state=TableState(table="public.documents"))])
        assert await index.state() == "clean"

    async def test_a_chunk_comes_back_as_it_was_written(self, index: Index) -> None:
        point = chunk(
            1,
            at(MAX_LSN - 1, 7),
            text='Bücher "und" \\ 木\x00\n',
            key=OTHER,
            kind="front_matter",
            filterable={"a.b": 2**70, 'quote"%\\ ü\n': [1, 1.0, True, None], "x" * 300: "long name", "none": None},
            dense=None,
        )
        await index.write([UpsertChunks(points=(point, chunk(2, at(1))))])
        assert await index.chunks([chunk_id(1), chunk_id(9)], with_vectors=True) == {chunk_id(1): point}
        both = await index.chunks([chunk_id(1), chunk_id(2)])
        assert {each.id: each.dense for each in both.values()} == {chunk_id(1): None, chunk_id(2): None}

    async def test_vectors_come_back_only_when_asked_for(self, index: Index) -> None:
        await index.write([UpsertChunks(points=(chunk(1, at(1), dense=[0.0, 0.6, 0.0, 0.8]),))])
        point = (await index.chunks([chunk_id(1)], with_vectors=True))[chunk_id(1)]
        assert list(point.dense or ()) == pytest.approx([0.0, 0.6, 0.0, 0.8])
        assert (await index.chunks([chunk_id(1)]))[chunk_id(1)].dense is None

    async def test_a_chunk_is_written_only_over_a_smaller_position(self, index: Index) -> None:
        for position, expected in (
            (at(5, 1), "5:1"),
            (at(5, 1), "5:1"),
            (at(5, 0), "5:1"),
            (at(4, 9), "5:1"),
            (at(5, 2), "5:2"),
            (at(1, 0, epoch=2), "1:0"),
            (at(9, 9), "1:0"),
        ):
            text = f"{position.lsn}:{position.ordinal}"
            await index.write([UpsertChunks(points=(chunk(1, position, text=f"try {text}"),))])
            assert (await index.chunks([chunk_id(1)]))[chunk_id(1)].text == f"try {expected}"

    async def test_of_two_chunks_with_one_id_in_a_write_the_larger_position_stays(self, index: Index) -> None:
        points = (chunk(1, at(2), "two"), chunk(1, at(3), "three"), chunk(1, at(1), "one"))
        await index.write([UpsertChunks(points=points)])
        assert (await index.chunks([chunk_id(1)]))[chunk_id(1)].text == "three"

    async def test_a_manifest_comes_back_as_it_was_written(self, index: Index) -> None:
        written = Manifest(
            key=OTHER,
            position=at(7, 3, epoch=4),
            chunk_ids=(chunk_id(2), chunk_id(1)),
            title="Größe",
            version=12,
            commit_time=datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
            content_hash="ab" * 32,
            metadata={"nested": {"list": [1, {"deep": None}]}, "big": 2**70, "float": 1.0},
            headers={"Status": "Final", "Created": ["a", 1.0]},
            filterable={"tags": ["a", "b"]},
            format="markdown",
        )
        plain = manifest(at(1))
        unset = {each.name for each in fields(Manifest) if getattr(written, each.name) == getattr(plain, each.name)}
        assert unset == {"deleted"}, "a new field of manifests has to be written here too"
        await index.write([SwitchManifest(manifest=written, replaces=None)])
        records = await index.records([OTHER, KEY], ["public.notes"])
        assert records.manifests == {OTHER: written}
        assert isinstance(records.manifests[OTHER].metadata["float"], float)
        assert records.tables == {"public.notes": TableState(table="public.notes")}

    async def test_a_manifest_is_switched_only_if_the_one_that_was_read_still_stands(self, index: Index) -> None:
        async def switch(to: Manifest, replaces: Position | None) -> Manifest:
            await index.write([SwitchManifest(manifest=to, replaces=replaces)])
            return (await index.records([KEY])).manifests[KEY]

        first, second, third = manifest(at(1), 1), manifest(at(2), 2), manifest(at(3), deleted=True)
        assert await switch(first, None) == first
        assert await switch(second, None) == first
        assert await switch(second, at(2)) == first
        assert await switch(second, at(1, 1)) == first
        assert await switch(second, at(1, 0, epoch=2)) == first
        assert await switch(second, at(1)) == second
        assert await switch(third, at(1)) == second
        assert await switch(third, at(2)) == third

    async def test_nothing_is_switched_where_a_manifest_was_read_and_none_stands(self, index: Index) -> None:
        await index.write([SwitchManifest(manifest=manifest(at(2), 1), replaces=at(1))])
        assert (await index.records([KEY])).manifests == {}

    async def test_switches_of_one_write_follow_each_other(self, index: Index) -> None:
        steps = (None, at(1), at(2), at(2))
        switches = [
            SwitchManifest(manifest=manifest(at(number + 1), number), replaces=replaces)
            for number, replaces in enumerate(steps)
        ]
        await index.write([*switches, SwitchManifest(manifest=manifest(at(1), key=OTHER), replaces=None)])
        records = await index.records([KEY, OTHER])
        assert records.manifests == {KEY: manifest(at(3), 2), OTHER: manifest(at(1), key=OTHER)}

    async def test_sweeping_takes_only_named_chunks_below_the_position(self, index: Index) -> None:
        points = tuple(chunk(number, at(number)) for number in range(1, 6))
        await index.write([UpsertChunks(points=points)])
        await index.write([SweepChunks(ids=tuple(map(chunk_id, (1, 3, 4, 99))), below=at(4))])
        assert set(await index.chunks([point.id for point in points])) == {chunk_id(2), chunk_id(4), chunk_id(5)}

    async def test_only_the_tombstone_that_was_read_is_forgotten(self, index: Index) -> None:
        tombstone = manifest(at(3), deleted=True)
        await index.write([SwitchManifest(manifest=tombstone, replaces=None)])
        await index.write([SwitchManifest(manifest=manifest(at(3), 1, key=OTHER), replaces=None)])
        forget = ForgetTombstone(key=KEY, position=at(2))
        await index.write([forget, ForgetTombstone(key=OTHER, position=at(3))])
        assert set((await index.records([KEY, OTHER])).manifests) == {KEY, OTHER}
        await index.write([replace(forget, position=at(3)), replace(forget, position=at(3))])
        assert set((await index.records([KEY, OTHER])).manifests) == {OTHER}

    async def test_a_floor_never_falls_and_the_rest_of_a_table_state_is_replaced(self, index: Index) -> None:
        async def put(floor: Position | None, epoch: int) -> TableState:
            await index.write([PutTableState(state=TableState(table="t", floor=floor, copied_epoch=epoch))])
            return (await index.records([], ["t"])).tables["t"]

        assert await put(None, 0) == TableState(table="t")
        assert await put(at(0, -1, epoch=2), 1) == TableState(table="t", floor=at(0, -1, epoch=2), copied_epoch=1)
        assert await put(at(9), 2) == TableState(table="t", floor=at(0, -1, epoch=2), copied_epoch=2)
        assert await put(None, 3) == TableState(table="t", floor=at(0, -1, epoch=2), copied_epoch=3)
        assert await put(at(1, 0, epoch=2), 3) == TableState(table="t", floor=at(1, 0, epoch=2), copied_epoch=3)

    async def test_every_table_that_was_written_about_is_known(self, index: Index) -> None:
        assert list(await index.tables()) == []
        states = [TableState(table=f"public.t{number}", copied_epoch=number) for number in range(3)]
        await index.write([*(PutTableState(state=state) for state in states), PutSourceState(state=source(1))])
        assert sorted(await index.tables(), key=lambda state: state.table) == states

    async def test_the_state_of_a_source_is_what_was_put_last(self, index: Index) -> None:
        assert await index.source("main") is None
        await index.write([PutSourceState(state=source(5))])
        await index.write([PutSourceState(state=source(2**60))])
        assert await index.source("main") == source(2**60)
        assert await index.source("other") is None

    async def test_chunks_are_found_by_the_positions_that_wrote_them(self, index: Index) -> None:
        positions = [at(5), at(5, 1), at(6), at(2**40), at(1, epoch=2)]
        points = tuple(chunk(number, position) for number, position in enumerate(positions))
        await index.write([UpsertChunks(points=points)])
        for above, upto in ((at(5), at(6)), (at(5, 1), at(2**40)), (at(6), at(9, epoch=3)), (at(7), at(8))):
            pages = [page async for page in index.chunks_between(above, upto, 2)]
            found = {point.id for page in pages for point in page}
            assert found == {point.id for point in points if above < point.position <= upto}
            assert all(point.dense is None for page in pages for point in page)

    async def test_the_state_of_a_source_never_falls_back(self, index: Index) -> None:
        newest = replace(source(7), epoch=3, current_at=datetime(2026, 5, 1, 12, tzinfo=UTC))
        for state in (source(5), newest, source(9), replace(newest, durable_lsn=6)):
            await index.write([PutSourceState(state=state)])
        assert await index.source("main") == newest

    async def test_hits_are_best_first_and_carry_the_chunk(self, index: Index) -> None:
        points = (
            chunk(1, at(1), text="zebra", dense=(0.0, 1.0, 0.0, 0.0)),
            chunk(2, at(2), text="zebra zebra lion", dense=(1.0, 1.0, 0.0, 0.0)),
            chunk(3, at(3), text="lion", dense=(1.0, 0.1, 0.0, 0.0)),
            chunk(4, at(4), text="zebra", dense=None, kind="front_matter", key=OTHER),
        )
        await index.write([UpsertChunks(points=points)])
        candidates = await index.search(request(text="zebra", limit=2))
        assert list(candidates.dense) == [chunk_id(3), chunk_id(2)]
        assert candidates.dense[chunk_id(3)] == pytest.approx(1 / 1.01**0.5, abs=1e-4)
        everything = await index.search(request(text="zebra"))
        assert set(everything.dense) == {chunk_id(1), chunk_id(2), chunk_id(3)}
        assert set(everything.lexical) == {chunk_id(1), chunk_id(2), chunk_id(4)}
        scores = list(everything.lexical.values())
        assert scores == sorted(scores, reverse=True)
        assert min(scores) > 0

    async def test_titles_and_headings_are_searched_by_words_too(self, index: Index) -> None:
        points = (chunk(1, at(1), title="Giraffe"), chunk(2, at(1), heading_path=("Okapi",)))
        await index.write([UpsertChunks(points=points)])
        for text, expected in (("giraffe", 1), ("okapi", 2)):
            assert list((await index.search(request(text=text))).lexical) == [chunk_id(expected)]

    async def test_a_search_without_a_vector_or_without_words_leaves_that_part_out(self, index: Index) -> None:
        assert await found(index) == set()
        await index.write([UpsertChunks(points=(chunk(1, at(1)),))])
        assert (await index.search(request(vector=None))).dense == {}
        for text in ("", " \n", "?!"):
            assert (await index.search(request(text=text))).lexical == {}

    async def test_a_search_can_be_kept_to_tables(self, index: Index) -> None:
        await index.write([UpsertChunks(points=(chunk(1, at(1)), chunk(2, at(1), key=OTHER)))])
        assert await found(index, tables=("public.notes",)) == {chunk_id(2)}
        assert await found(index, tables=("public.notes", "public.documents")) == {chunk_id(1), chunk_id(2)}
        assert await found(index, tables=("public.absent",)) == set()

    async def test_chunks_at_or_below_a_floor_are_not_candidates_in_that_table(self, index: Index) -> None:
        positions = (at(5), at(5, 1), at(6, -1), at(4, 9), at(0, -1, epoch=2), at(0, 0, epoch=2))
        points = [chunk(number, position) for number, position in enumerate(positions)]
        await index.write([UpsertChunks(points=(*points, chunk(9, at(1), key=OTHER)))])
        for floor in (*positions, at(0)):
            expected = {point.id for point in points if point.position > floor} | {chunk_id(9)}
            assert await found(index, hidden_below=(("public.documents", floor),)) == expected

    @pytest.mark.parametrize("operator", ["eq", "ne", "lt", "lte", "gt", "gte"])
    async def test_conditions_mean_what_the_domain_says(self, index: Index, operator: Any) -> None:
        points = [chunk(number, at(1), filterable={"a.b": value}) for number, value in enumerate(VALUES)]
        points.append(chunk(len(VALUES), at(1)))
        await index.write([UpsertChunks(points=tuple(points))])
        for operand in OPERANDS:
            for field in ("a.b", "absent"):
                conditions = (Condition(field=field, operator=operator, value=operand),)
                expected = {point.id for point in points if all_match(conditions, point.filterable)}
                assert await found(index, conditions=conditions) == expected, conditions

    async def test_in_means_any_of_the_values(self, index: Index) -> None:
        points = [chunk(number, at(1), filterable={"f": value}) for number, value in enumerate(VALUES)]
        await index.write([UpsertChunks(points=tuple(points))])
        for operand in ((), ("apple",), ("apple", "plum", 7), (1, True), (2.5, "b"), (False,), (2**53 + 1,)):
            conditions = (Condition(field="f", operator="in", value=operand),)
            expected = {point.id for point in points if all_match(conditions, point.filterable)}
            assert await found(index, conditions=conditions) == expected, operand

    async def test_all_conditions_must_hold(self, index: Index) -> None:
        points = [
            chunk(number, at(1), filterable={"team": "red" if number % 2 else "blue", "year": number})
            for number in range(10)
        ]
        await index.write([UpsertChunks(points=tuple(points))])
        conditions = (
            Condition(field="team", operator="eq", value="red"),
            Condition(field="year", operator="gt", value=4),
        )
        assert await found(index, conditions=conditions) == {chunk_id(5), chunk_id(7), chunk_id(9)}

    async def test_a_condition_that_few_meet_still_fills_the_limit(self, index: Index) -> None:
        points = [
            chunk(number, at(1), filterable={"name": f"{number:03d}"}, dense=(1.0, number / 1000, 0.0, 0.0))
            for number in range(200)
        ]
        await index.write([UpsertChunks(points=tuple(points))])
        conditions = (Condition(field="name", operator="gte", value="195"),)
        candidates = await index.search(request(limit=3, conditions=conditions))
        assert list(candidates.dense) == [chunk_id(number) for number in (195, 196, 197)]
        assert len(candidates.lexical) == 3

    async def test_walking_sees_everything_once(self, index: Index) -> None:
        points = tuple(
            chunk(number, at(1), dense=None if number % 3 == 0 else (1.0, 0.0, 0.0, 0.0)) for number in range(25)
        )
        keys = [DocumentKey("public.documents", (str(number),)) for number in range(25)]
        switches = [
            SwitchManifest(manifest=manifest(at(1), key=key, deleted=number > 20), replaces=None)
            for number, key in enumerate([*keys, OTHER])
        ]
        await index.write(
            [UpsertChunks(points=points), *switches, PutTableState(state=TableState(table="public.notes"))]
        )
        pages = [page async for page in index.all_chunks(page=10)]
        walked_chunks = {point.id: point for page in pages for point in page}
        assert {point.id: point.dense is None for point in points} == {
            point.id: point.dense is None for point in walked_chunks.values()
        }
        assert [len(page) for page in pages] == [10, 10, 5]
        walked = [each.key async for page in index.manifests("public.documents", page=7) for each in page]
        assert sorted(walked) == sorted(keys)
        assert dict(await index.counts()) == {"documents": 21, "tombstones": 5, "chunks": 25}

    async def test_an_empty_index_can_be_walked(self, index: Index) -> None:
        assert [page async for page in index.manifests("public.documents")] == []
        assert [page async for page in index.all_chunks()] == []
        assert dict(await index.counts()) == {"documents": 0, "tombstones": 0, "chunks": 0}

    async def test_large_writes_arrive_whole(self, index: Index) -> None:
        points = tuple(chunk(number, at(1)) for number in range(300))
        await index.write(
            [UpsertChunks(points=points), SweepChunks(ids=tuple(p.id for p in points[:290]), below=at(2))]
        )
        assert set(await index.chunks([point.id for point in points])) == {point.id for point in points[290:]}

"""Opening, closing and refusing the folder of an embedded index."""

from pathlib import Path

import pytest

from contract.index_contract import DIMENSIONS, KEY, at, chunk, chunk_id, found, manifest, request
from rtrag.adapters.qdrant.edge import EdgeSettings, open_edge_index
from rtrag.adapters.qdrant.lexical import Lexical, LexicalSettings
from rtrag.domain.conditions import Condition
from rtrag.domain.errors import ConfigurationError, ServiceUnavailableError, TerminalError
from rtrag.domain.manifest import SwitchManifest, UpsertChunks


async def test_an_index_is_the_same_after_closing_and_opening(tmp_path: Path) -> None:
    team = (Condition(field="a team", operator="eq", value="red"),)
    async with open_edge_index(tmp_path / "deep" / "index", DIMENSIONS) as index:
        assert await index.state() == "fresh"
        points = (chunk(1, at(1), filterable={"a team": "red"}), chunk(2, at(1)))
        await index.write([UpsertChunks(points=points)])
        await index.write([SwitchManifest(manifest=manifest(at(1), 1, 2), replaces=None)])
    async with open_edge_index(tmp_path / "deep" / "index", DIMENSIONS) as index:
        assert await index.state() == "clean"
        assert (await index.records([KEY])).manifests == {KEY: manifest(at(1), 1, 2)}
        assert await found(index, conditions=team) == {chunk_id(1)}
        assert await found(index) == {chunk_id(1), chunk_id(2)}


async def test_an_empty_index_is_still_fresh_when_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        async with open_edge_index(tmp_path, DIMENSIONS) as index:
            assert await index.state() == "fresh"


async def test_an_error_inside_still_ends_with_a_close(tmp_path: Path) -> None:
    async def fail() -> None:
        async with open_edge_index(tmp_path, DIMENSIONS) as index:
            await index.write([UpsertChunks(points=(chunk(1, at(1)),))])
            raise RuntimeError("outside")

    with pytest.raises(RuntimeError, match="outside"):
        await fail()
    async with open_edge_index(tmp_path, DIMENSIONS) as index:
        assert await index.state() == "clean"
        assert await found(index) == {chunk_id(1)}


async def test_a_second_opener_is_refused_with_the_folder_and_the_way_out(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS):
        with pytest.raises(ConfigurationError, match="in use") as refusal:
            async with open_edge_index(tmp_path, DIMENSIONS):
                pass
    assert str(tmp_path) in str(refusal.value)
    assert "Fix:" in str(refusal.value)
    async with open_edge_index(tmp_path, DIMENSIONS):
        pass


@pytest.mark.parametrize(
    ("dimensions", "settings", "named"),
    [
        (DIMENSIONS + 1, EdgeSettings(), "another embedding model.*dimensions"),
        (DIMENSIONS, EdgeSettings(lexical=LexicalSettings(k=0.9)), "other settings.*lexical"),
    ],
)
async def test_an_index_made_with_other_settings_is_refused(
    tmp_path: Path, dimensions: int, settings: EdgeSettings, named: str
) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS):
        pass
    with pytest.raises(ConfigurationError, match=named):
        async with open_edge_index(tmp_path, dimensions, settings):
            pass


async def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "precious.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="not an index"):
        async with open_edge_index(tmp_path, DIMENSIONS):
            pass
    assert (tmp_path / "records" / "precious.txt").read_text() == "mine"


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        async with open_edge_index(tmp_path / "index", DIMENSIONS):
            pass


async def test_a_marker_that_cannot_be_removed_is_refused_in_words(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS):
        pass
    (tmp_path / "closed").unlink()
    (tmp_path / "closed").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        async with open_edge_index(tmp_path, DIMENSIONS):
            pass


async def test_an_unreadable_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        async with open_edge_index(tmp_path, DIMENSIONS):
            pass


async def test_what_an_interrupted_creation_left_is_cleared_away(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS) as index:
        await index.write([UpsertChunks(points=(chunk(1, at(1)),))])
    (tmp_path / "CURRENT").unlink()
    async with open_edge_index(tmp_path, DIMENSIONS) as index:
        assert await index.state() == "fresh"
    assert len(list(tmp_path.glob("chunks-*"))) == 1


async def test_on_a_nearly_full_disk_nothing_is_written_and_the_error_says_so(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS) as index:
        index._settings = EdgeSettings(min_free_bytes=2**62)
        with pytest.raises(ServiceUnavailableError, match=r"MB left.*nothing was written"):
            await index.write([UpsertChunks(points=(chunk(1, at(1)),))])
        assert await found(index) == set()
    with pytest.raises(ServiceUnavailableError, match="MB left"):
        async with open_edge_index(tmp_path, DIMENSIONS, EdgeSettings(min_free_bytes=2**62)):
            pass


async def test_values_that_cannot_be_stored_are_the_fault_of_the_document(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS) as index:
        with pytest.raises(TerminalError, match="cannot hold these values"):
            await index.write([UpsertChunks(points=(chunk(1, at(1), text="\ud800"),))])
        with pytest.raises(ConfigurationError, match="3 numbers, the index holds 4"):
            await index.write([UpsertChunks(points=(chunk(1, at(1), dense=(1.0, 0.0, 0.0)),))])
        assert await found(index) == set()


async def test_a_failing_engine_is_a_service_that_is_away(tmp_path: Path) -> None:
    async with open_edge_index(tmp_path, DIMENSIONS) as index:
        with pytest.raises(ServiceUnavailableError, match="could not search"):
            await index.search(request(vector=(1.0, 0.0)))


def test_lexical_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="klingon"):
        Lexical(LexicalSettings(language="klingon"))


def test_without_a_language_every_word_counts_as_it_stands() -> None:
    plain = Lexical(LexicalSettings(language=None)).query("the running")
    english = Lexical(LexicalSettings()).query("the running")
    assert plain is not None
    assert english is not None
    assert (len(plain.indices), len(english.indices)) == (2, 1)

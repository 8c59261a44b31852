"""Settings are read from what is passed in, and every mistake in them is named."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rtrag.config import (
    EdgeIndex,
    KafkaSource,
    OpenAIEmbedder,
    PostgresSource,
    QdrantIndex,
    Settings,
    StaticEmbedder,
    find_config,
    load_settings,
    settings_catalogue,
)
from rtrag.domain.conditions import Condition
from rtrag.domain.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def loaded(environ: Mapping[str, str], toml: str | None = None, *, folder: Path | None = None, **over: Any) -> Settings:
    path = None
    if toml is not None:
        assert folder is not None
        path = folder / "rtrag.toml"
        path.write_text(toml)
    return load_settings(path, environ, over)


def refusal(environ: Mapping[str, str], toml: str | None = None, *, folder: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(environ, toml, folder=folder)
    return str(caught.value)


def test_nothing_set_gives_the_embedded_form_with_one_writable_collection() -> None:
    settings = loaded({})
    assert settings.embedded
    assert isinstance(settings.embedder, StaticEmbedder)
    (collection,) = settings.mapped_collections()
    assert (collection.name, collection.writable) == ("documents", True)
    (table,) = collection.tables
    assert table.columns == ("id", "title", "content", "metadata", "version")


def test_an_address_that_is_given_is_used() -> None:
    addresses = {
        "POSTGRES_URL": "postgresql://me@db/x",
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:29092",
        "QDRANT_URL": "http://qdrant:6333",
    }
    settings = loaded({**addresses, "RTRAG_SOURCE__WORKERS": "3"})
    assert isinstance(settings.source, KafkaSource)
    assert settings.source.workers == 3
    assert isinstance(settings.index, QdrantIndex)
    named = loaded({**addresses, "RTRAG_INDEX__KIND": "edge", "RTRAG_SOURCE__KIND": "postgres"})
    assert isinstance(named.index, EdgeIndex)
    assert isinstance(named.source, PostgresSource)


def test_a_kind_without_its_address_is_refused() -> None:
    assert "QDRANT_URL" in refusal({"RTRAG_INDEX__KIND": "qdrant"})


def test_the_default_collection_of_a_users_own_server_is_not_writable() -> None:
    settings = loaded({"POSTGRES_URL": "postgresql://me@db/x"})
    assert not settings.embedded
    assert settings.postgres_url is not None
    assert settings.postgres_url.get_secret_value() == "postgresql://me@db/x"
    assert not settings.mapped_collections()[0].writable


def test_overrides_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    toml = "[http]\nhost = 'file'\nport = 1\nquery_port = 1\n"
    settings = loaded(
        {"RTRAG_HTTP__PORT": "2", "RTRAG_HTTP__QUERY_PORT": "2"}, toml, folder=tmp_path, http={"query_port": 3}
    )
    assert (settings.http.host, settings.http.port, settings.http.query_port) == ("file", 2, 3)


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTRAG_HTTP__PORT", "9999")
    monkeypatch.setenv("POSTGRES_URL", "postgresql://nowhere")
    settings = loaded({})
    assert settings.http.port == 8000
    assert settings.embedded


def test_another_kind_in_the_environment_replaces_the_whole_section_of_the_file(tmp_path: Path) -> None:
    settings = loaded({"RTRAG_EMBEDDER__KIND": "static"}, "[embedder]\nkind='openai'\nmodel='m'\n", folder=tmp_path)
    assert isinstance(settings.embedder, StaticEmbedder)


def test_fields_of_a_kind_are_merged_across_file_and_environment(tmp_path: Path) -> None:
    settings = loaded(
        {"RTRAG_EMBEDDER__MODEL": "m2", "OPENAI_API_KEY": "k"},
        "[embedder]\nkind = 'openai'\ndimensions = 64\n",
        folder=tmp_path,
    )
    assert settings.embedder == OpenAIEmbedder(kind="openai", model="m2", dimensions=64)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("RTRAG_EMBEDER__KIND", "RTRAG_EMBEDDER__KIND"),
        ("RTRAG_QUERY__DENSE_WEIGTH", "RTRAG_QUERY__DENSE_WEIGHT"),
        ("RTRAG_POSTGRES_URL", "POSTGRES_URL"),
        ("rtrag_http__port", "RTRAG_HTTP__PORT"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str, suggestion: str) -> None:
    assert f"{name}: there is no such setting; did you mean {suggestion}?" in refusal({name: "1"})


def test_all_mistakes_of_file_and_environment_are_listed_at_once(tmp_path: Path) -> None:
    toml = "[query]\ndense_weigth = 1\ncandidates = 'many'\n[[collections]]\nname = 'A b'\ntables = [{tabel = 'x'}]\n"
    message = refusal({"RTRAG_HTTP__PORT": "abc", "RTRAG_RETRI": "1"}, toml, folder=tmp_path)
    assert message.startswith("7 settings are wrong:")
    for expected in (
        "RTRAG_RETRI: there is no such setting; did you mean RTRAG_RETRY?",
        "RTRAG_HTTP__PORT: Input should be a valid integer",
        "rtrag.toml: query.candidates: Input should be a valid integer",
        "rtrag.toml: query.dense_weigth: there is no such setting; did you mean dense_weight?",
        "rtrag.toml: collections[0].name: String should match pattern",
        "rtrag.toml: collections[0].tables[0].table: Field required",
        "rtrag.toml: collections[0].tables[0].tabel: there is no such setting; did you mean table?",
    ):
        assert expected in message
    assert "Fix:" in message


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RTRAG_EMBEDDER__MODEL": "m"}, "belongs to embedder.kind = 'openai', and the kind is 'static'"),
        ({"RTRAG_EMBEDDER__KIND": "opnai"}, "RTRAG_EMBEDDER__KIND: 'opnai' is not one of static, openai; did you mean"),
        ({"RTRAG_GENERATOR__KIND": "openai"}, "generator.kind = 'openai' needs OPENAI_API_KEY"),
        ({"RTRAG_QUERY__DENSE_WEIGHT": "nan"}, "RTRAG_QUERY__DENSE_WEIGHT: Input should be a finite number"),
        ({"RTRAG_COLLECTIONS": "[{nope"}, "RTRAG_COLLECTIONS: not valid JSON"),
        ({"RTRAG_HTTP__API_KEYS": "k"}, "RTRAG_HTTP__API_KEYS: not valid JSON"),
        ({"RTRAG_HTTP": '{"hots": "x"}'}, "RTRAG_HTTP (http.hots): there is no such setting; did you mean host?"),
        ({"RTRAG_QUERY__FRESHNESS_WAIT_MS": "99999"}, "freshness_wait_ms must not exceed freshness_max_ms"),
    ],
)
def test_a_wrong_value_is_named_with_its_cause(environ: Mapping[str, str], expected: str) -> None:
    assert expected in refusal(environ)


def test_a_table_may_stand_in_one_collection_only() -> None:
    collections = [{"name": "a", "tables": [{"table": "t"}]}, {"name": "b", "tables": [{"table": "public.t"}]}]
    message = refusal({"RTRAG_COLLECTIONS": json.dumps(collections)})
    assert "each table may be named once in collections; repeated: public.t" in message


def test_a_broken_file_is_refused_with_the_line(tmp_path: Path) -> None:
    assert "line 2" in refusal({}, "[http]\nport = \n", folder=tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_settings(tmp_path / "none.toml", {})


def test_secrets_show_neither_in_messages_nor_in_the_settings() -> None:
    assert "hunter2" not in refusal({"POSTGRES_URL": "postgresql://me:hunter2@db/x", "RTRAG_X": "1"})
    assert "hunter2" not in repr(loaded({"POSTGRES_URL": "postgresql://me:hunter2@db/x"}))


def test_an_empty_variable_counts_as_unset() -> None:
    assert loaded({"POSTGRES_URL": "", "RTRAG_HTTP__PORT": ""}).embedded


def test_settings_cannot_be_changed() -> None:
    settings = loaded({})
    with pytest.raises(ValidationError):
        settings.http.port = 1


def test_tables_become_mappings(tmp_path: Path) -> None:
    toml = """
[[collections]]
name = "help"
[[collections.tables]]
table = "articles"
key = ["lang", "slug"]
title = "headline"
content = "{summary}\\n\\n{body}"
metadata = ["tenant"]
filterable = ["tenant"]
format = "html"
row_filter = [{field = "state", operator = "in", value = ["live", "review"]}, {field = "level", value = 3}]
"""
    (collection,) = loaded({}, toml, folder=tmp_path).mapped_collections()
    (table,) = collection.tables
    assert table.table == "public.articles"
    assert table.key_columns == ("lang", "slug")
    assert table.content_columns == ("summary", "body")
    assert table.row_filter == (
        Condition(field="state", operator="in", value=("live", "review")),
        Condition(field="level", operator="eq", value=3),
    )
    assert not table.writable


def test_the_file_is_found_by_name_else_in_the_folder(tmp_path: Path) -> None:
    assert find_config({}, tmp_path) is None
    (tmp_path / "rtrag.toml").write_text("")
    assert find_config({}, tmp_path) == tmp_path / "rtrag.toml"
    assert find_config({"RTRAG_CONFIG": "/etc/x.toml"}, tmp_path) == Path("/etc/x.toml")


def test_every_setting_has_an_explanation_and_can_be_set_by_its_name() -> None:
    for setting in settings_catalogue():
        assert setting.description, setting.path
        if isinstance(setting.default, str | int | float) and setting.kind in (None, "static", "extractive"):
            load_settings(None, {setting.env_name: str(setting.default)})


def test_the_example_of_the_environment_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_env_example.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_values_of_another_kind_are_named_without_words_of_python(tmp_path: Path) -> None:
    toml = "data_folder = 3\nindex = 1\n[http]\nallowed_hosts = 'a'\n[embedder]\nkind = 'openai'\nbase_url = 'here'\n"
    message = refusal({}, toml, folder=tmp_path)
    for expected in (
        "rtrag.toml: data_folder: a path is wanted (it is 3)",
        "rtrag.toml: index: a section with settings is wanted (it is 1)",
        "rtrag.toml: http.allowed_hosts: a list is wanted (it is 'a')",
        "rtrag.toml: embedder.base_url: an address that begins with https:// or http:// is wanted (it is 'here')",
    ):
        assert expected in message


def test_the_kafka_source_needs_to_know_its_servers() -> None:
    environment = {"RTRAG_SOURCE__KIND": "kafka"}
    with pytest.raises(ConfigurationError, match="KAFKA_BOOTSTRAP_SERVERS"):
        load_settings(None, environment)
    environment["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:9094"
    with pytest.raises(ConfigurationError, match="POSTGRES_URL"):
        load_settings(None, environment)
    environment["POSTGRES_URL"] = "postgresql://rag_user@127.0.0.1:5434/rag_db"
    source = load_settings(None, environment).source
    assert isinstance(source, KafkaSource)
    assert source.epoch == 1


@pytest.mark.parametrize("prefix", ["rag", "rag.0", "rag.", "rag.x", ".1"])
def test_a_topic_prefix_has_to_end_in_an_epoch(prefix: str) -> None:
    environment = {"RTRAG_SOURCE__KIND": "kafka", "RTRAG_SOURCE__TOPIC_PREFIX": prefix}
    with pytest.raises(ConfigurationError, match="RTRAG_SOURCE__TOPIC_PREFIX"):
        load_settings(None, environment)

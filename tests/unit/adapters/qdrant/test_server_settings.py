"""What a collection is called, and what it was made for."""

from dataclasses import replace

from rtrag.adapters.qdrant.lexical import LexicalSettings
from rtrag.adapters.qdrant.server_collection import physical_name
from rtrag.adapters.qdrant.server_settings import QdrantSettings, description

SETTINGS = QdrantSettings(url="http://127.0.0.1:6333", api_key="secret", collection="docs")


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(SETTINGS)


def test_every_model_has_a_collection_of_its_own_behind_the_alias() -> None:
    lexical = replace(SETTINGS, lexical=LexicalSettings(language="german"))
    described = [
        description(SETTINGS, 4, "words"),
        description(SETTINGS, 4, "others"),
        description(SETTINGS, 8, "words"),
        description(lexical, 4, "words"),
    ]
    names = {physical_name("docs", each) for each in described}
    assert len(names) == 4
    assert all(name.startswith("docs-") for name in names)


def test_how_a_collection_is_stored_does_not_change_what_it_is_for() -> None:
    stored = replace(SETTINGS, on_disk=True, quantization="scalar", replication_factor=2, graph=False, api_key=None)
    assert description(stored, 4, "words") == description(SETTINGS, 4, "words")

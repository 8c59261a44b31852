"""The description of the API."""

import json
from pathlib import Path
from typing import Any

import pytest

from rtrag.entrypoints.http.app import create_app
from rtrag.testing.services import fake_services

COMMITTED = Path(__file__).resolve().parents[3] / "openapi.json"
CONTRACT = {
    ("post", "/query"), ("get", "/health"), ("get", "/ready"), ("get", "/collections"), ("get", "/metrics"),
    ("get", "/api/documents"), ("post", "/api/documents"), ("get", "/api/documents/{document_id}"),
    ("put", "/api/documents/{document_id}"), ("delete", "/api/documents/{document_id}"),
    ("get", "/api/pipeline/status"), ("get", "/api/metrics"),
}  # fmt: skip


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """What the application says of itself."""
    return create_app(fake_services()).openapi()


def test_the_committed_description_is_up_to_date(described: dict[str, Any]) -> None:
    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(described)), "run: python scripts/make_openapi.py"


def test_the_outer_contract_is_described(described: dict[str, Any]) -> None:
    found = {(method, path) for path, operations in described["paths"].items() for method in operations}
    assert found >= CONTRACT


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = json.dumps(described)
    schemas = described["components"]["schemas"]
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= set(schemas)
    assert wanted | {"Problem"} == set(schemas), "schemas that nothing refers to"


def test_every_operation_has_words_and_problems(described: dict[str, Any]) -> None:
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            assert operation["description"], place
            assert operation["tags"], place
            for status, response in operation["responses"].items():
                if int(status) >= 400 and path != "/ready":
                    assert "application/problem+json" in response["content"], f"{place} {status}"


def test_what_comes_out_has_every_field_always(described: dict[str, Any]) -> None:
    inputs = {"QueryIn", "FilterRange", "DocumentIn", "DocumentChange", "VerifyIn"}
    for name, schema in described["components"]["schemas"].items():
        if name not in inputs and schema.get("type") == "object":
            assert set(schema["required"]) == set(schema["properties"]), name

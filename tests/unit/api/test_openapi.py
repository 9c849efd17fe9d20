"""The document describes every route and every shape; the page shows it without another host."""

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.api.openapi import page
from app.main import create_app
from app.settings import Settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(Settings(home=Path(tmp_path_factory.mktemp("home")))).openapi()


def references(found: Any) -> set[str]:
    if isinstance(found, dict):
        own = {found["$ref"]} if isinstance(found.get("$ref"), str) else set()
        return own.union(*map(references, found.values()))
    return set().union(*map(references, found)) if isinstance(found, list) else set()


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    named = {reference.rpartition("/")[2] for reference in references(document)}
    assert named <= set(document["components"]["schemas"])
    assert "DatasetRequest" in named


def test_every_answer_and_every_route_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            good = [answer for status, answer in operation["responses"].items() if status in ("200", "202")]
            assert good, (method, path)
            assert all(content["schema"] for answer in good for content in answer["content"].values()), (method, path)
            assert operation.get("description") or operation.get("summary"), (method, path)


def test_every_word_of_an_address_is_a_parameter_that_is_never_null(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            given = [each for each in operation.get("parameters", []) if each["in"] == "path"]
            assert {each["name"] for each in given} == set(re.findall(r"{(\w+)}", path)), (method, path)
            assert all(each["required"] and "anyOf" not in each["schema"] for each in given), (method, path)


def silent(described: dict[str, Any], where: str) -> list[str]:
    return [f"{where}.{name}" for name, each in described.items() if not each.get("description")]


def test_every_shape_field_and_parameter_is_described(document: dict[str, Any]) -> None:
    found = silent(document["components"]["schemas"], "")
    for name, schema in document["components"]["schemas"].items():
        found += silent(schema.get("properties", {}), name)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found += silent({method: operation}, path)
            found += silent({each["name"]: each for each in operation.get("parameters", ())}, path)
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                found += silent(content["schema"].get("properties", {}), f"{path} {kind}")
    assert found == []


def test_a_word_of_the_glossary_is_used_where_a_field_has_none_of_its_own(document: dict[str, Any]) -> None:
    dataset, files = document["components"]["schemas"]["DatasetObject"], document["paths"]["/v1/files"]
    assert dataset["properties"]["created_at"]["description"].startswith("Unix time in seconds")
    assert dataset["properties"]["status"]["description"].startswith("`validating` while"), "its own"
    form = files["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert form["purpose"]["description"]


def test_every_route_but_health_asks_for_a_key(document: dict[str, Any]) -> None:
    without = {path for path, ways in document["paths"].items() for way in ways.values() if "security" not in way}
    assert without == {"/livez", "/readyz", "/health", "/v2", "/v2/health/live", "/v2/health/ready"}


def test_every_refusal_is_json_and_every_question_has_a_body(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            refusals = [
                answer for status, answer in operation["responses"].items() if status not in ("200", "202", "206")
            ]
            kinds = {kind for refusal in refusals for kind in refusal.get("content", {})}
            assert kinds <= {"application/json"}, (method, path)
            assert "requestBody" in operation or not path.endswith("/infer"), (method, path)


def test_downloads_say_that_they_come_in_parts(document: dict[str, Any]) -> None:
    for path in ("/v1/models/{model}/artifact", "/v1/files/{file_id}/content"):
        operation = document["paths"][path]["get"]
        assert {"200", "206", "304", "416"} <= set(operation["responses"])
        assert operation["responses"]["206"]["content"] == operation["responses"]["200"]["content"]
        assert {"range", "if-range"} <= {each["name"] for each in operation["parameters"]}


def test_the_page_names_every_route_and_shape(document: dict[str, Any]) -> None:
    shown = page(document)
    assert all(path in shown for path in document["paths"])
    assert all(f'id="{name}"' in shown for name in document["components"]["schemas"])
    assert "http://" not in shown
    assert "https://" not in shown


def json_bodies(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """By method and path: what a route takes as JSON."""
    return {
        (method, path): operation["requestBody"]["content"]["application/json"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }


def test_every_body_has_an_example_that_its_schema_allows(document: dict[str, Any]) -> None:
    for route, content in json_bodies(document).items():
        schema = {**content["schema"], "components": document["components"]}
        assert content.get("examples"), route
        for name, example in content["examples"].items():
            errors = Draft202012Validator(schema).iter_errors(example["value"])
            assert [error.message for error in errors] == [], (route, name)
            assert name in page(document)

"""Models: what a name means, and what may be done to it."""

import io
import tarfile
from itertools import pairwise
from typing import Any

import pytest
from openai import OpenAI

from app.ml.runtime import portable
from app.registry import models
from app.storage import Stored
from tests import rows
from tests.integration.api.conftest import Garden
from tests.integration.api.faults import refused


@pytest.fixture
def digits(garden: Garden) -> str:
    """A model with two versions; `default` is the first."""
    with garden.database.session() as session:
        first = rows.version(session, garden.project_id)
        rows.version(session, garden.project_id, parent_id=first.id, aliases=["champion"])
    return "digits"


def test_a_name_means_what_its_alias_says(garden: Garden, digits: str) -> None:
    plain = garden.client.get("/v1/models/digits").json()
    assert (plain["id"], plain["object"], plain["version"]) == ("digits", "model", 1)
    assert plain["aliases"] == {"default": 1, "champion": 2}
    assert (plain["dimensions"], plain["modality"]) == (8, "image")
    assert plain["metrics"]["baselines"] == {"pca": None}
    assert garden.client.get("/v1/models/digits:2").json()["version"] == 2
    assert garden.client.get("/v1/models/digits@champion").json()["version"] == 2
    for unknown in ("digit", "digits:3", "digits@best", "digits:x", "digits:99999999999999999999"):
        message = refused(garden.client.get(f"/v1/models/{unknown}"), 404, "model_not_found", "model")
        assert "digit" in message


def test_all_are_listed_without_a_limit_and_pages_with_one(garden: Garden, digits: str) -> None:
    with garden.database.session() as session:
        for number in range(24):
            rows.version(session, garden.project_id, f"m{number:02}")

    everything = garden.client.get("/v1/models").json()
    assert len(everything["data"]) == 25
    first = garden.client.get("/v1/models", params={"limit": 20, "order": "asc"}).json()
    rest = garden.client.get("/v1/models", params={"limit": 20, "order": "asc", "after": first["last_id"]}).json()
    assert [model["id"] for model in first["data"] + rest["data"]] == ["digits", *(f"m{n:02}" for n in range(24))]
    refused(garden.client.get("/v1/models", params={"after": "nothing"}), 404, "model_not_found", "model")


def test_a_model_of_an_objective_that_is_gone_is_listed_and_of_no_use(garden: Garden, digits: str) -> None:
    """As where a plug-in was taken out, or a newer release trained it while this one goes on answering."""
    with garden.database.session() as session:
        gone = models.resolve(session, garden.project_id, "digits")
        gone.spec = {**gone.spec, "objective": {"name": "sparse"}}
        dataset = rows.dataset(session, garden.project_id)
    listed = garden.client.get("/v1/models").json()["data"]
    assert [(model["id"], model["shortest_dimensions"]) for model in listed] == [("digits", None)]
    assert garden.client.get("/v1/models/digits").json()["abilities"] == ["embed", "reconstruct"]
    assert garden.client.patch("/v1/models/digits", json={"description": "old"}).json()["description"] == "old"
    for kind, param in {"embed": "model", "evaluate": "model", "finetune": "base_model"}.items():
        answer = garden.client.post("/v1/jobs", json={"kind": kind, "dataset": dataset.id, param: "digits"})
        message = refused(answer, 422, "does_not_fit", param)
        assert "digits:1 is of no use here: this release cannot read its settings" in message
        assert "'sparse'" in message


def test_the_stock_sdk_lists_and_retrieves(garden: Garden, digits: str) -> None:
    key = garden.client.headers["authorization"].removeprefix("Bearer ")
    with OpenAI(base_url=f"{garden.house.base_url}/v1", api_key=key) as sdk:
        assert [model.id for model in sdk.models.list()] == ["digits"]
        assert sdk.models.retrieve("digits").owned_by == garden.project_id


def test_versions_and_lineage(garden: Garden, digits: str) -> None:
    listed = garden.client.get("/v1/models/digits/versions").json()["data"]
    assert [(one["id"], one["aliases"], one["parent"]) for one in listed] == [
        ("digits:2", ["champion"], "digits:1"),
        ("digits:1", ["default"], None),
    ]
    page = garden.client.get("/v1/models/digits/versions", params={"limit": 1}).json()
    assert (page["has_more"], page["last_id"]) == (True, "digits:2")
    rest = garden.client.get("/v1/models/digits/versions", params={"after": page["last_id"]}).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (["digits:1"], False)
    wrong = garden.client.get("/v1/models/digits/versions", params={"after": "digits:last"})
    refused(wrong, 422, "wrong_type", "after")
    lineage = garden.client.get("/v1/models/digits:2/lineage").json()
    assert (lineage["version"], lineage["seed"], lineage["parents"]) == ("digits:2", 7, ["digits:1"])
    assert lineage["datasets"][0]["fingerprint"] == "f" * 64


def test_an_alias_moves_only_when_told_to(garden: Garden, digits: str) -> None:
    moved = garden.client.put("/v1/models/digits/aliases/default", json={"version": 2})
    assert moved.json()["id"] == "digits@default"
    assert garden.client.get("/v1/models/digits").json()["version"] == 2
    assert garden.client.delete("/v1/models/digits/aliases/champion").json()["deleted"] is True
    refused(garden.client.get("/v1/models/digits@champion"), 404, "model_not_found", "model")
    refused(garden.client.delete("/v1/models/digits/aliases/default"), 409, "in_use")
    refused(garden.client.delete("/v1/models/digits/aliases/champion"), 404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("alias", "body", "status", "code", "param"),
    [
        ("a", {"version": 9}, 404, "model_not_found", "model"),
        ("a", {"version": 0}, 422, "out_of_range", "version"),
        ("a", {"version": 2**40}, 422, "out_of_range", "version"),
        ("a", {"version": "1"}, 422, "wrong_type", "version"),
        ("a", {}, 422, "missing_key", "version"),
        ("a b", {"version": 1}, 422, "out_of_range", "name"),
        ("2", {"version": 1}, 422, "out_of_range", "name"),
    ],
)
def test_a_wrong_alias_is_refused(
    garden: Garden, digits: str, alias: str, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    refused(garden.client.put(f"/v1/models/digits/aliases/{alias}", json=body), status, code, param)


def test_a_model_is_described(garden: Garden, digits: str) -> None:
    body = {"description": "ten digits", "metadata": {"team": "a"}}
    changed = garden.client.patch("/v1/models/digits", json=body).json()
    assert (changed["description"], changed["metadata"]) == ("ten digits", {"team": "a"})
    assert garden.client.patch("/v1/models/digits", json={}).json() == changed
    refused(garden.client.patch("/v1/models/digits", json={"name": "x"}), 422, "unknown_key", "name")


def test_what_is_needed_is_not_deleted(garden: Garden, digits: str) -> None:
    refused(garden.client.delete("/v1/models/digits:1"), 409, "in_use")
    refused(garden.client.delete("/v1/models/digits:2"), 409, "in_use")
    refused(garden.client.delete("/v1/models/digits"), 409, "in_use")
    refused(garden.client.delete("/v1/models/digits@champion"), 422, "out_of_range", "model")
    garden.client.delete("/v1/models/digits/aliases/champion").raise_for_status()
    assert garden.client.delete("/v1/models/digits:2").json() == {"id": "digits:2", "object": "model", "deleted": True}
    assert garden.client.delete("/v1/models/digits").json()["deleted"] is True
    assert garden.client.get("/v1/models").json()["data"] == []


def publish(garden: Garden, stored: dict[str, Stored], engine: dict[str, Any] | None = None) -> None:
    """Model `leaf` of these files."""
    with garden.database.session() as session:
        models.publish(
            session,
            project_id=garden.project_id,
            name="leaf",
            job_id=None,
            parent_id=None,
            spec={},
            modality="vectors",
            dimensions=2,
            abilities=["embed"],
            metrics={},
            datasets=[],
            parameters=1,
            objects=dict(stored),
            engine=engine,
        )


def test_a_version_without_a_graph_says_why(garden: Garden) -> None:
    stored = {"model.json": garden.house.storage.put(f"jobs/{garden.project_id}/model.json", b"{}")}
    publish(garden, stored)
    publish(garden, stored, {"name": "fp32", "no_graph": "its weights take 600 MiB, and graphs end at 512"})
    told = {}
    for model in ("leaf:1", "leaf:2"):
        answer = garden.client.get(f"/v1/models/{model}/artifact?format=onnx")
        told[model] = refused(answer, 404, "not_found", "format")
    assert "earlier release" in told["leaf:1"]
    assert "/v1/models/import" in told["leaf:1"]
    assert "leaf:2 has no ONNX graph: its weights take 600 MiB, and graphs end at 512." in told["leaf:2"]
    assert "earlier release" not in told["leaf:2"]


def test_an_artifact_is_a_tar_of_its_files(garden: Garden) -> None:
    contents = {"model.json": b"{}", "weights.safetensors": bytes(1000)}
    beside = {"embed.onnx": b"derived from the weights, so that nobody needs to bring it"}
    storage = garden.house.storage
    stored = {
        name: storage.put(f"jobs/{garden.project_id}/{name}", content) for name, content in (contents | beside).items()
    }
    publish(garden, stored)

    answer = garden.client.get("/v1/models/leaf/artifact")

    assert answer.headers["content-type"] == "application/x-tar"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        assert {name: file.read() for name, file in found.items() if file} == {
            f"leaf-1/{name}": content for name, content in contents.items()
        }


def test_any_part_of_an_artifact_is_that_of_the_whole(garden: Garden) -> None:
    contents = {"model.json": b"{}", "weights.safetensors": bytes(range(250)) * 400, portable.FILE: bytes(range(9))}
    prefix = f"jobs/{garden.project_id}"
    publish(garden, {name: garden.house.storage.put(f"{prefix}/{name}", given) for name, given in contents.items()})
    for path in ("/v1/models/leaf/artifact", "/v1/models/leaf/artifact?format=onnx"):
        whole = garden.client.get(path)
        size = len(whole.content)
        cuts = sorted({0, 1, 5, 511, 512, 513, 514, 1024, 1536, 2000, 50_000, size - 1, size} & set(range(size + 1)))
        for begin, end in pairwise(cuts):
            answer = garden.client.get(path, headers={"range": f"bytes={begin}-{end - 1}"})
            assert (answer.status_code, answer.content) == (206, whole.content[begin:end])
            assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
            assert answer.headers["etag"] == whole.headers["etag"]
        begin = size // 2
        rest = garden.client.get(path, headers={"range": f"bytes={begin}-", "if-range": whole.headers["etag"]})
        assert whole.content[:begin] + rest.content == whole.content
        refused(garden.client.get(path, headers={"range": f"bytes={size}-"}), 416, "range_not_satisfiable", "range")

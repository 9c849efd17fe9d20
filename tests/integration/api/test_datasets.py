"""Datasets: from files or with them, and what can be seen of them once they are ready."""

import base64
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.api.dataset_schemas import DatasetRequest
from tests import rows
from tests.integration.api.conftest import Garden
from tests.integration.api.data import ROWS, make_ready, pictures, post_dataset, vectors
from tests.integration.api.faults import refused


def test_one_form_makes_files_dataset_and_job(garden: Garden) -> None:
    made = post_dataset(garden, vectors(), columns='{"label": "labels"}', metadata='{"team": "a"}')

    assert (made["object"], made["status"], made["name"]) == ("dataset", "validating", "rows")
    assert made["metadata"] == {"team": "a"}
    assert made["request"]["columns"]["label"] == "labels"
    file = garden.client.get(f"/v1/files/{made['files'][0]}").json()
    assert file["filename"] == "rows.npz"
    job = garden.client.get(f"/v1/jobs/{made['job']}").json()
    assert (job["kind"], job["status"], job["dataset"]) == ("ingest", "queued", made["id"])
    assert garden.client.get(f"/v1/datasets/{made['id']}").json() == made


def test_a_form_takes_every_key_of_a_request(garden: Garden) -> None:
    asked: dict[str, Any] = {
        "name": "form",
        "modality": "vectors",
        "format": "csv",
        "encoding": "latin-1",
        "decimal": ",",
        "header": True,
        "columns": {"label": "y"},
        "image_size": 8,
        "sample_rate": 8000,
        "split": {"train": 0.8, "test": 0.2},
        "text_unit": "paragraph",
        "cleaning": {"duplicates": "drop"},
        "profile": "basic",
        "on_fault": "drop",
        "metadata": {"a": "b"},
    }
    assert {*asked, "files"} == set(DatasetRequest.model_fields)
    form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in asked.items()}
    answer = garden.client.post("/v1/datasets", files={"file": ("a.csv", b"x;y\n1,5;a\n2,5;b\n")}, data=form)
    assert answer.status_code == 202, answer.text
    shown = answer.json()["request"]
    assert (shown["decimal"], shown["header"], shown["columns"]["label"]) == (",", True, "y")


def test_a_form_names_the_files_of_a_split_by_filename(garden: Garden) -> None:
    files = [("file", ("one.npz", vectors())), ("file", ("two.npz", vectors()))]
    split = json.dumps({"files": {"train": ["one.npz"], "test": ["two.npz"]}})

    made = garden.client.post("/v1/datasets", files=files, data={"name": "d", "split": split}).json()

    named = made["request"]["split"]["files"]
    assert (named["train"], named["test"]) == ([made["files"][0]], [made["files"][1]])


def test_a_ready_dataset_of_vectors_shows_profile_report_and_rows(garden: Garden) -> None:
    dataset = make_ready(garden, vectors())

    shown = garden.client.get(f"/v1/datasets/{dataset}").json()
    assert (shown["status"], shown["modality"], shown["rows"]) == ("ready", "vectors", ROWS)
    assert sum(shown["splits"].values()) == ROWS
    profile = garden.client.get(f"/v1/datasets/{dataset}/profile").json()
    assert profile["input"]["shape"] == [4]
    assert set(profile["target"]["classes"]) == {"c0", "c1", "c2"}
    report = garden.client.get(f"/v1/datasets/{dataset}/report").json()
    assert (report["status"], report["total"], report["faults"]) == ("ready", 0, [])

    first = garden.client.get(f"/v1/datasets/{dataset}/rows", params={"limit": 30}).json()
    rest = garden.client.get(f"/v1/datasets/{dataset}/rows", params={"limit": 100, "after": first["last_id"]}).json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    seen = first["data"] + rest["data"]
    assert [row["id"] for row in seen] == [str(place) for place in range(shown["splits"]["train"])]
    values = np.load(io.BytesIO(vectors()))["features"]
    for row in seen:
        assert row["input"] == values[row["row"]].tolist()
        assert row["target"] == f"c{row['row'] % 3}"
    behind = garden.client.get(f"/v1/datasets/{dataset}/rows", params={"after": 10**9}).json()
    assert (behind["data"], behind["has_more"]) == ([], False)


def test_rows_of_pictures_are_pictures(garden: Garden) -> None:
    dataset = make_ready(garden, pictures())

    answer = garden.client.get(f"/v1/datasets/{dataset}/rows", params={"split": "test", "limit": 1}).json()

    row = answer["data"][0]
    header, _, body = row["input"].partition(",")
    assert header == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert np.array_equal(pixels, np.load(io.BytesIO(pictures()))["images"][row["row"]])
    assert row["target"] is None


def test_what_is_not_ready_has_no_profile_and_no_rows(garden: Garden) -> None:
    with garden.database.session() as session:
        validating = rows.dataset(session, garden.project_id, "validating").id
        failed = rows.dataset(session, garden.project_id, "failed").id
    for path in ("profile", "rows"):
        assert "validating" in refused(garden.client.get(f"/v1/datasets/{validating}/{path}"), 409, "wrong_state")
        assert "failed" in refused(garden.client.get(f"/v1/datasets/{failed}/{path}"), 409, "wrong_state")
    assert garden.client.get(f"/v1/datasets/{validating}/report").json()["status"] == "validating"
    assert garden.client.get(f"/v1/datasets/{failed}/report").json()["total"] == 1
    assert garden.client.get(f"/v1/datasets/{failed}").json()["error"]["code"] == "invalid_data"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"files": ["file-1"]}, 422, "missing_key", "name"),
        ({"name": "d"}, 422, "missing_key", "files"),
        ({"name": "d", "files": []}, 422, "out_of_range", "files"),
        ({"name": "d", "files": ["file-1", "file-1"]}, 422, "does_not_fit", None),
        ({"name": "white space", "files": ["file-1"]}, 422, "out_of_range", "name"),
        ({"name": "d", "files": ["file-1"], "modality": "smell"}, 422, "unknown_choice", "modality"),
        ({"name": "d", "files": ["file-1"], "colour": 1}, 422, "unknown_key", "colour"),
        ({"name": "d", "files": ["file-1"], "columns": {"lable": "y"}}, 422, "unknown_key", "columns.lable"),
        ({"name": "d", "files": ["file-1"], "metadata": {"a": 1}}, 422, "wrong_type", "metadata.a"),
        ({"name": "d", "files": ["file-1"]}, 404, "not_found", "files"),
    ],
)
def test_a_wrong_dataset_is_told_what_and_where(
    garden: Garden, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    refused(garden.client.post("/v1/datasets", json=body), status, code, param)
    assert garden.client.get("/v1/datasets").json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({}, 422, "missing_key", "name"),
        ({"name": "d", "columns": "label=y"}, 400, "malformed", "columns"),
        ({"name": "d", "split": '{"train": NaN}'}, 400, "malformed", "split"),
        ({"name": "d", "metadata": '{"a": "\\u0000"}'}, 400, "malformed", "metadata"),
        ({"name": "d", "cleaning": '{"non_finite": "guess"}'}, 422, "unknown_choice", "cleaning.non_finite"),
        ({"name": "d", "colour": "red"}, 422, "unknown_key", "colour"),
    ],
)
def test_a_wrong_form_makes_nothing(
    garden: Garden, fields: dict[str, str], status: int, code: str, param: str | None
) -> None:
    before = {key for key, _ in garden.house.storage.listing()}
    answer = garden.client.post("/v1/datasets", files={"file": ("rows.npz", vectors())}, data=fields)
    refused(answer, status, code, param)
    assert {key for key, _ in garden.house.storage.listing()} == before
    assert garden.client.get("/v1/files").json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"colums": "{}"},
            "'colums' is no field of this form; did you mean columns[?] It has file (with a filename), ",
        ),
        ({"image_size": "64px"}, "image_size: Input should be a valid integer; got '64px'"),
        ({"columns": "text:review"}, """'text:review' is none: .*; an object is written as {"key": "value"}"""),
    ],
)
def test_a_wrong_form_is_told_what_would_be_right(garden: Garden, fields: dict[str, str], said: str) -> None:
    answer = garden.client.post("/v1/datasets", files={"file": ("rows.npz", vectors())}, data={"name": "d"} | fields)
    assert re.search(said.replace("(", r"\(").replace(")", r"\)"), answer.json()["error"]["message"])


def test_a_file_that_came_as_a_text_is_told_how_to_send_it(garden: Garden) -> None:
    answer = garden.client.post("/v1/datasets", files={"file": (None, b"rows.csv"), "name": (None, b"d")})
    assert "with curl, -F file=@rows.csv sends a file" in refused(answer, 400, "malformed", "file")


def test_bytes_without_a_form_are_told_of_the_form(garden: Garden) -> None:
    answer = garden.client.post("/v1/datasets", content=vectors(), headers={"content-type": "text/csv"})
    assert "or a form ('content-type: multipart/form-data') with the part 'file'" in refused(answer, 400, "malformed")


def test_a_list_is_filtered_by_status_and_metadata(garden: Garden) -> None:
    with garden.database.session() as session:
        ready = rows.dataset(session, garden.project_id).id
        rows.dataset(session, garden.project_id, "failed")
    tagged = post_dataset(garden, vectors(), metadata='{"team": "a"}')["id"]

    def ids(**query: str) -> list[str]:
        return [entry["id"] for entry in garden.client.get("/v1/datasets", params=query).json()["data"]]

    assert ids(status="ready") == [ready]
    assert ids(**{"metadata[team]": "a"}) == [tagged]
    assert ids(**{"metadata[team]": "b"}) == []
    assert len(ids()) == 3


def test_a_dataset_is_deleted_unless_a_job_needs_it(garden: Garden) -> None:
    with garden.database.session() as session:
        free = rows.dataset(session, garden.project_id).id
        busy = rows.dataset(session, garden.project_id)
        rows.job(session, garden.project_id, datasets=[busy])

    assert garden.client.delete(f"/v1/datasets/{free}").json()["deleted"] is True
    refused(garden.client.get(f"/v1/datasets/{free}"), 404, "not_found")
    refused(garden.client.delete(f"/v1/datasets/{busy.id}"), 409, "in_use")


def test_an_augmentation_is_tried_on_rows_before_it_is_used(garden: Garden) -> None:
    dataset = make_ready(garden, pictures())
    body = {"augmentation": {"name": "image", "flip": 1.0}, "count": 2, "versions": 2, "seed": 3}

    tried = garden.client.post(f"/v1/datasets/{dataset}/augmentations", json=body).json()

    assert tried["augmentation"] == {"name": "image", "flip": 1.0}
    rows = garden.client.get(f"/v1/datasets/{dataset}/rows", params={"limit": 100}).json()["data"]
    assert len(tried["data"]) == 2
    for row in tried["data"]:
        original, *changed = [png(version["input"]) for version in (row["original"], *row["augmented"])]
        assert np.array_equal(original, png(rows[int(row["id"])]["input"]))
        assert len(changed) == 2
        assert all(np.array_equal(picture, original[:, ::-1]) for picture in changed)
    again = garden.client.post(f"/v1/datasets/{dataset}/augmentations", json=body).json()
    assert again == tried


def test_rows_of_numbers_are_tried_in_their_unit_and_with_their_labels(garden: Garden) -> None:
    dataset = make_ready(garden, vectors())
    url, body = f"/v1/datasets/{dataset}/augmentations", {"augmentation": {"name": "auto", "masking": 0.5}}

    row = garden.client.post(url, json=body).json()["data"][0]

    assert len(row["augmented"]) == 3
    assert row["original"]["input"] != row["augmented"][0]["input"]
    assert row["original"]["target"] == row["augmented"][0]["target"]
    auto = garden.client.post(url, json={"augmentation": {"name": "auto"}}).json()
    assert auto["augmentation"] == {"name": "vectors", "swap": 0.3}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"augmentation": {"name": "image"}}, "does_not_fit", "augmentation"),
        ({"augmentation": {"name": "vectors", "flip": 1}}, "unknown_key", "augmentation.flip"),
        ({"augmentation": {"name": "none"}, "count": 0}, "out_of_range", "count"),
        ({}, "missing_key", "augmentation"),
    ],
)
def test_a_trial_that_cannot_be_is_refused(garden: Garden, body: dict[str, Any], code: str, param: str) -> None:
    dataset = make_ready(garden, vectors())

    answer = garden.client.post(f"/v1/datasets/{dataset}/augmentations", json=body)

    refused(answer, 422, code, param)


def png(uri: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))

"""Datasets: asked for in JSON, or with the files themselves in one form; their profile, faults and rows."""

import hashlib
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api import serializers
from app.api.augmentation_trial import AugmentationTrial, AugmentedRows, try_on_rows
from app.api.dataset_rows import read_rows
from app.api.dataset_schemas import DatasetObject, DatasetRequest, DatasetStatus, Profile, Report, Row
from app.api.deps import (
    FORM_TOO,
    METADATA_FILTER,
    CallerHere,
    MetadataHere,
    PagingHere,
    Services,
    ServicesHere,
    guarded_router,
    read_json,
    services,
)
from app.api.files import register
from app.api.forms import Form, receive_form
from app.api.idempotency import HEADERS, Made, create, create_from_form, idempotent_request
from app.api.openapi import json_body
from app.api.schemas import Deleted, ListOf
from app.dataset_options import DatasetOptions, SplitName
from app.errors import WrongState
from app.registry import datasets, objects
from app.registry.tables import Dataset
from app.validation import from_validation

router = guarded_router("datasets")

MAX_FILES = 64
"""Of one form."""
FIELDS = frozenset(DatasetRequest.model_fields) - {"files"}
"""Of a form."""
VALUES = frozenset({"header", "image_size", "sample_rate"})
TEXTS = frozenset({"name", "modality", "format", "encoding", "decimal", "text_unit", "profile", "on_fault"})
"""Those that are no JSON."""


@router.post(
    "/v1/datasets",
    status_code=202,
    response_model=DatasetObject,
    openapi_extra=json_body(DatasetRequest, form_fields=FIELDS) | HEADERS,
)
async def create_dataset(request: Request) -> Response:
    """Makes a dataset from uploaded files, or from files in the same form (`curl -F name=digits -F file=@digits.npz`).

    It is `validating` until its `ingest` job has looked at every row. In a form, `columns`, `split`, `cleaning`,
    `metadata` and all numbers are JSON texts, and `split.files` names the files by their filenames.
    """
    here = services(request)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        options = check(await read_json(request, FORM_TOO))
        ask = idempotent_request(request, hashlib.sha256(await request.body()).hexdigest())
        project = ask.caller.project_id
        making = run_in_threadpool(create, here, ask, 202, lambda session: make(session, here, project, options))
        return (await making)[0]
    async with receive_form(request, here.settings, here.storage, fields=FIELDS, max_files=MAX_FILES) as form:
        options = check({"files": [file.filename for file in form.files], **form.body(TEXTS, VALUES)})
        ask = idempotent_request(request, form.sha256(), counts_retries=False)
        project = ask.caller.project_id

        def make_all(session: Session) -> Made:
            return make_from_form(session, here, project, options, form)

        return await create_from_form(here, ask, 202, make_all, form)


def check(body: Any) -> DatasetRequest:
    try:
        return DatasetRequest.model_validate(body)
    except ValidationError as error:
        raise from_validation([dict(each) for each in error.errors()], body, DatasetRequest) from None


def make_from_form(session: Session, here: Services, project_id: str, options: DatasetRequest, form: Form) -> Made:
    """The rows of the form's files, and the dataset made from them."""
    ordered = sorted(form.files, key=lambda file: file.stored.sha256)  # forms that wait for each other's content
    rows = {file.filename: register(session, here.storage, project_id, file, "pretrain") for file in ordered}
    ids = {file.filename: rows[file.filename].id for file in form.files}
    body = options.model_dump()
    body["files"] = list(ids.values())
    if body["split"] is not None and "files" in body["split"]:
        named = body["split"]["files"]
        body["split"] = {"files": {split: [ids[name] for name in names] for split, names in named.items()}}
    return make(session, here, project_id, DatasetRequest.model_validate(body))


def make(session: Session, here: Services, project_id: str, options: DatasetRequest) -> Made:
    dataset, ingest = datasets.create(
        session,
        project_id=project_id,
        name=options.name,
        file_ids=options.files,
        request=DatasetOptions.model_validate(options.model_dump(include=set(DatasetOptions.model_fields))).stored(),
        metadata=options.metadata,
        max_attempts=here.settings.max_attempts,
    )
    session.refresh(dataset)
    return Made(serializers.dataset(session, dataset), [(ingest.queue, ingest.id)])


@router.get("/v1/datasets", response_model=ListOf[DatasetObject], openapi_extra=METADATA_FILTER)
def list_datasets(
    here: ServicesHere,
    who: CallerHere,
    paging: PagingHere,
    metadata: MetadataHere,
    status: Annotated[DatasetStatus | None, Query()] = None,
) -> dict[str, Any]:
    """Lists the project's datasets."""
    with here.database.reading() as session:
        found = datasets.list_page(session, who.project_id, **vars(paging), status=status, metadata=metadata)
        return serializers.page(serializers.datasets(session, found.rows), found.has_more)


@router.get("/v1/datasets/{dataset_id}", response_model=DatasetObject)
def get_dataset(dataset_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """A dataset's particulars."""
    with here.database.reading() as session:
        return serializers.dataset(session, datasets.get(session, who.project_id, dataset_id))


@router.get("/v1/datasets/{dataset_id}/profile", response_model=Profile)
def get_profile(dataset_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """What is in it: rows, splits, classes, statistics of every column, what cleaning changed, warnings."""
    with here.database.reading() as session:
        dataset = ready(datasets.get(session, who.project_id, dataset_id))
    return {"object": "dataset.profile", "dataset": dataset.id, **(dataset.profile or {})}


@router.get("/v1/datasets/{dataset_id}/report", response_model=Report)
def get_report(dataset_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """The faults found in the data; empty while it is validating and when there are none."""
    with here.database.reading() as session:
        dataset = datasets.get(session, who.project_id, dataset_id)
    nothing = {"total": 0, "faults": [], "dropped_total": 0, "dropped": [], "cut_short": False}
    report = nothing | (dataset.report or {})
    return {"object": "dataset.report", "dataset": dataset.id, "status": dataset.status, **report}


@router.get("/v1/datasets/{dataset_id}/rows", response_model=ListOf[Row])
def get_rows(
    dataset_id: str,
    here: ServicesHere,
    who: CallerHere,
    split: Annotated[SplitName, Query()] = "train",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[int, Query(ge=-1, lt=2**53, description="Place in the split behind which the page begins.")] = -1,
) -> dict[str, Any]:
    """Rows as training sees them, in the order of the split."""
    with here.database.reading() as session:
        dataset = ready(datasets.get(session, who.project_id, dataset_id))
        held = objects.held(session, dataset.id)
    rows, has_more = read_rows(here.storage, held, split, after + 1, limit)
    return serializers.page(rows, has_more)


@router.post("/v1/datasets/{dataset_id}/augmentations", response_model=AugmentedRows)
def try_augmentation(dataset_id: str, body: AugmentationTrial, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Some rows beside randomly changed versions of them, to look at before a job uses that augmentation.

    What a modality learns from data, such as a tokenizer, is learned here from the split's first 2,000 rows.
    """
    with here.database.reading() as session:
        dataset = ready(datasets.get(session, who.project_id, dataset_id))
        held = objects.held(session, dataset.id)
    return try_on_rows(here.storage, held, body)


@router.delete("/v1/datasets/{dataset_id}", response_model=Deleted)
def delete_dataset(dataset_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Deletes a dataset; a 409 while a job that has not ended needs it."""
    with here.database.session() as session:
        datasets.delete(session, who.project_id, dataset_id)
    return {"id": dataset_id, "object": "dataset", "deleted": True}


def ready(dataset: Dataset) -> Dataset:
    if dataset.status != "ready":
        raise WrongState(f"dataset {dataset.id} is {dataset.status}; only a ready one has a profile and rows")
    return dataset

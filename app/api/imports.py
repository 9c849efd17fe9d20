"""Models that come from elsewhere: an uploaded archive becomes a model through a job. Reads nothing of it here."""

import hashlib
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api import serializers
from app.api.deps import FORM_TOO, Services, asked_in, guarded_router, read_json, services
from app.api.files import register
from app.api.forms import receive_form
from app.api.idempotency import HEADERS, Made, create, create_from_form, idempotent_request
from app.api.job_schemas import JobObject
from app.api.openapi import json_body
from app.ml.jobs.train import Publish
from app.registry import files, jobs
from app.validation import NAME, from_validation

router = guarded_router("models")

TEXTS = frozenset({"name"})
FIELDS = TEXTS | {"publish", "metadata"}
"""Of a form; those that are no TEXTS hold JSON."""


class ImportRequest(BaseModel):
    """An archive that holds a model."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    file: str = Field(max_length=64)
    """Id of an uploaded ZIP or TAR, packed with gzip or zstd or not. It holds what `GET /v1/models/{name}/artifact`
    gives, or the folder of a sentence encoder of the BERT family as Hugging Face and sentence-transformers save it:
    `config.json`, `model.safetensors`, `tokenizer.json` or `vocab.txt`, and where there are such `modules.json` and
    `1_Pooling/config.json`. Archives with pickles (`pytorch_model.bin`) are refused; no code is ever run."""
    name: str | None = Field(None, pattern=NAME)
    """What the model is called here; by default as it was called where the artifact comes from."""
    publish: Publish | None = None
    """What happens when it succeeds."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Of the job: up to 16 pairs of strings, kept and returned."""


@router.post(
    "/v1/models/import",
    status_code=202,
    response_model=JobObject,
    openapi_extra=json_body(ImportRequest, form_fields=FIELDS) | HEADERS,
)
async def import_model(request: Request) -> Response:
    """Makes a model of an uploaded archive, or of one in the same form (`curl -F name=minilm -F file=@minilm.zip`).

    The answer is a job of kind `import`; once it has succeeded, its `model` is the version that it published. In a
    form, `publish` and `metadata` are JSON texts.
    """
    here = services(request)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        wanted = check(await read_json(request, FORM_TOO))
        ask = idempotent_request(request, hashlib.sha256(await request.body()).hexdigest())
        project = ask.caller.project_id
        return (await run_in_threadpool(create, here, ask, 202, lambda session: make(session, here, project, wanted)))[
            0
        ]
    async with receive_form(request, here.settings, here.storage, fields=FIELDS, max_files=1) as form:
        wanted = check({"file": "", **form.body(TEXTS)})
        ask = idempotent_request(request, form.sha256(), counts_retries=False)
        project = ask.caller.project_id

        def make_all(session: Session) -> Made:
            file = register(session, here.storage, project, form.files[0], "user_data")
            return make(session, here, project, wanted.model_copy(update={"file": file.id}))

        return await create_from_form(here, ask, 202, make_all, form)


def check(body: Any) -> ImportRequest:
    try:
        return ImportRequest.model_validate(body)
    except ValidationError as error:
        raise from_validation([dict(each) for each in error.errors()], body, ImportRequest) from None


def make(session: Session, here: Services, project_id: str, wanted: ImportRequest) -> Made:
    """The job that reads the file."""
    with asked_in("file"):
        files.get(session, project_id, wanted.file, kept=True)
    job = jobs.create(
        session,
        project_id=project_id,
        kind="import",
        queue="data",
        request={"kind": "import", **wanted.model_dump(mode="json", exclude_none=True)},
        metadata=wanted.metadata,
        max_attempts=here.settings.max_attempts,
    )
    return Made(serializers.job(session, job), [(job.queue, job.id)])

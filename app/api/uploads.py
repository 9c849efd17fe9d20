"""Uploads: a file that comes in parts, in any order and at once. No byte is copied: its parts become the file."""

import hashlib
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api import serializers
from app.api.deps import CallerHere, Services, ServicesHere, caller, guarded_router, services
from app.api.forms import receive_form
from app.api.idempotency import (
    HEADERS,
    IdempotentRequest,
    Made,
    create,
    create_from_form,
    idempotent_json_request,
    idempotent_request,
)
from app.api.schemas import UploadCompletion, UploadObject, UploadPartObject, UploadRequest
from app.errors import TooLarge, WrongChecksum
from app.registry import uploads
from app.registry.tables import Upload
from app.settings import MIB
from app.storage import Storage

router = guarded_router("uploads")

LARGEST_PART = 64 * MIB
"""In bytes; stock clients cut a file into parts of this size."""
PART = "data"
"""The field of the form that carries a part."""
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [PART],
                    "properties": {
                        PART: {"type": "string", "format": "binary", "description": "At most 64 MiB, with a filename."}
                    },
                }
            }
        },
    }
}


@router.post("/v1/uploads", response_model=UploadObject, openapi_extra=HEADERS)
def create_upload(
    body: UploadRequest, here: ServicesHere, ask: Annotated[IdempotentRequest, Depends(idempotent_json_request)]
) -> Response:
    """Opens an upload, to which parts are added until it is completed, cancelled or expired."""
    largest = here.settings.max_file_bytes
    if body.bytes > largest:
        raise TooLarge(f"bytes is {body.bytes}; a file may have at most {largest}", param="bytes")

    def make(session: Session) -> Made:
        upload = uploads.create(
            session,
            project_id=ask.caller.project_id,
            filename=body.filename,
            purpose=body.purpose,
            mime_type=body.mime_type,
            size_bytes=body.bytes,
            seconds=here.settings.upload_seconds,
        )
        return Made(serializers.upload(session, upload))

    return create(here, ask, 200, make)[0]


@router.post("/v1/uploads/{upload_id}/parts", response_model=UploadPartObject, openapi_extra=FORM | HEADERS)
async def create_part(upload_id: str, request: Request) -> Response:
    """Adds a part. It is stored and hashed while it arrives; parts may come at once and in any order."""
    here, project = services(request), caller(request).project_id
    upload = await run_in_threadpool(find, here, project, upload_id)
    limit = min(LARGEST_PART, upload.size_bytes)
    async with receive_form(
        request, here.settings, here.storage, fields=frozenset(), max_files=1, name=PART, limit=limit
    ) as form:
        ask = idempotent_request(request, form.sha256(), counts_retries=False)

        def make(session: Session) -> Made:
            return Made(serializers.part(uploads.add_part(session, project, upload_id, form.files[0].stored)))

        return await create_from_form(here, ask, 200, make, form)


def find(here: Services, project_id: str, upload_id: str) -> Upload:
    with here.database.reading() as session:
        return uploads.get(session, project_id, upload_id)


@router.get("/v1/uploads/{upload_id}", response_model=UploadObject)
def get_upload(upload_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """An upload's particulars and the parts that have arrived: with their hashes, a broken-off upload can go on."""
    with here.database.reading() as session:
        return serializers.upload(session, uploads.get(session, who.project_id, upload_id))


@router.post("/v1/uploads/{upload_id}/complete", response_model=UploadObject)
def complete_upload(upload_id: str, body: UploadCompletion, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Makes the file of the named parts, in the order in which they are named. Repeating it gives the same file.

    Nothing changes when a checksum or the number of bytes is wrong: a better part may follow.
    """
    with here.database.reading() as session:
        whole = uploads.named(session, uploads.get(session, who.project_id, upload_id), body.part_ids)
    sha256 = verified(here.storage, whole, body)  # reads all parts, so no transaction waits for it
    with here.database.session() as session:
        upload = uploads.complete(
            session, who.project_id, upload_id, body.part_ids, sha256=sha256, there=here.storage.has
        )
        return serializers.upload(session, upload)


def verified(storage: Storage, whole: uploads.Whole, body: UploadCompletion) -> str:
    """The sha256 of the whole. Raises WrongChecksum when the client announced others."""
    sha256, md5 = whole.sha256, None
    if sha256 is None or body.md5 is not None:
        by_sha256, by_md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        for chunk in storage.open(whole.parts):
            by_sha256.update(chunk)
            if body.md5 is not None:
                by_md5.update(chunk)
        sha256, md5 = by_sha256.hexdigest(), by_md5.hexdigest()
    for name, announced, found in (("md5", body.md5, md5), ("sha256", body.sha256, sha256)):
        if announced is not None and announced.lower() != found:
            raise WrongChecksum(f"the parts have the {name} {found}; {announced} was announced", param=name)
    return sha256


@router.post("/v1/uploads/{upload_id}/cancel", response_model=UploadObject)
def cancel_upload(upload_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Gives up an upload; its bytes are removed. Repeating it does no harm."""
    with here.database.session() as session:
        return serializers.upload(session, uploads.cancel(session, who.project_id, upload_id))

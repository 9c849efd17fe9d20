"""Files: streamed to storage while they arrive and are hashed, listed, read back, deleted."""

from typing import Annotated, Any, get_args

from fastapi import Depends, Query, Request, Response
from sqlalchemy.orm import Session

from app.api import serializers
from app.api.conditional import WantedHere
from app.api.deps import CallerHere, Paging, ServicesHere, caller, guarded_router, pages, services
from app.api.forms import Arrived, receive_form
from app.api.idempotency import HEADERS, Made, create_from_form, idempotent_request
from app.api.schemas import Deleted, FileObject, ListOf, Purpose
from app.api.streaming import Content, described, download
from app.errors import MissingKey, UnknownChoice
from app.registry import files, objects
from app.registry.tables import File
from app.storage import Storage

router = guarded_router("files")

LONGEST_PAGE = 10_000
"""Entries for which stock clients may ask."""
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The content, with a filename."},
                        "purpose": {"type": "string", "enum": list(get_args(Purpose))},
                    },
                }
            }
        },
    }
}


@router.post("/v1/files", response_model=FileObject, openapi_extra=FORM | HEADERS)
async def create_file(request: Request) -> Response:
    """Uploads a file. It is stored and hashed while it arrives; one that is too large is refused on the way."""
    here = services(request)
    async with receive_form(request, here.settings, here.storage, fields=frozenset({"purpose"}), max_files=1) as form:
        purpose = form.fields.get("purpose")
        known = ", ".join(get_args(Purpose))
        if purpose is None:
            raise MissingKey(f"the form has no field 'purpose', which is one of {known}", param="purpose")
        if purpose not in get_args(Purpose):
            raise UnknownChoice(f"purpose {purpose!r} is unknown; choose one of {known}", param="purpose")
        ask = idempotent_request(request, form.sha256(), counts_retries=False)
        project = caller(request).project_id

        def make(session: Session) -> Made:
            return Made(serializers.file(register(session, here.storage, project, form.files[0], purpose)))

        return await create_from_form(here, ask, 200, make, form)


def register(session: Session, storage: Storage, project_id: str, arrived: Arrived, purpose: str) -> File:
    """The row of a file that has arrived in storage; what is there already is stored once."""
    return files.create(
        session,
        project_id=project_id,
        filename=arrived.filename,
        purpose=purpose,
        objects=[arrived.stored],
        sha256=arrived.stored.sha256,
        size_bytes=arrived.stored.size_bytes,
        there=storage.has,
    )


@router.get("/v1/files", response_model=ListOf[FileObject])
def list_files(
    here: ServicesHere,
    who: CallerHere,
    paging: Annotated[Paging, Depends(pages(LONGEST_PAGE))],
    purpose: Annotated[Purpose | None, Query()] = None,
) -> dict[str, Any]:
    """Lists the project's files."""
    with here.database.reading() as session:
        found = files.list_page(session, who.project_id, **vars(paging), purpose=purpose)
    return serializers.page_of(found, serializers.file)


@router.get("/v1/files/{file_id}", response_model=FileObject)
def get_file(file_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """A file's particulars."""
    with here.database.reading() as session:
        return serializers.file(files.get(session, who.project_id, file_id))


@router.get(
    "/v1/files/{file_id}/content",
    response_class=Response,
    responses=described("application/octet-stream"),
)
def get_content(file_id: str, here: ServicesHere, who: CallerHere, wanted: WantedHere) -> Response:
    """The bytes as they came, or with `Range` a part of them."""
    with here.database.reading() as session:
        file = files.get(session, who.project_id, file_id)
        content = Content(objects.held(session, file.id)[files.CONTENT])
    return download(here.storage, content, wanted, filename=file.filename, media_type="application/octet-stream")


@router.delete("/v1/files/{file_id}", response_model=Deleted)
def delete_file(file_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Deletes a file; a 409 while a dataset needs it."""
    with here.database.session() as session:
        files.delete(session, who.project_id, file_id)
    return {"id": file_id, "object": "file", "deleted": True}

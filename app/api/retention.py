"""What the service keeps no longer: looked at first, removed when asked; the sweep removes it by itself."""

from collections.abc import Sequence
from typing import Any, Literal

from app.api.deps import Administered, CallerHere, Services, ServicesHere, guarded_router
from app.api.schemas import Wire
from app.registry import retention
from app.sweep import remove_kept_long_enough

router = guarded_router("retention", Administered)

NEVER = (
    "models, versions and aliases",
    "jobs, their events and metrics",
    "files that a dataset, a batch or a job that has not ended uses",
    "datasets that a job that has not ended uses, and the newest ready one of each name",
    "checkpoints of jobs that have not ended",
)


class DueObject(Wire):
    """One thing that is kept no longer."""

    kind: Literal["upload", "file", "dataset", "checkpoint"]
    """What it is."""
    id: str
    bytes: int
    """Of its own: content that other files share stays until the last of them goes. Of an upload, what has arrived."""
    age_seconds: float
    """Since it was made; of a checkpoint, since its job ended."""
    reason: str
    """Why it may go."""


class Retention(Wire):
    """What is kept for how long, and what goes, or went."""

    object: Literal["retention"] = "retention"
    keep_seconds: dict[str, float | None]
    """Null: for ever. Set by `ROOTSTOCK_KEEP_…_SECONDS`; uploads expire as `ROOTSTOCK_UPLOAD_SECONDS` says."""
    never: list[str]
    """What no rule ever removes."""
    data: list[DueObject]
    bytes: int
    """Of all entries together."""
    removed: bool
    """False where it was only looked at."""


@router.get("/v1/retention", response_model=Retention)
def preview(here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """What the next sweep would remove of the project, at most a thousand of each kind. Changes nothing."""
    with here.database.reading() as session:
        return show(here, retention.due(session, here.settings.retention, who.project_id), removed=False)


@router.post("/v1/retention", response_model=Retention)
def remove(here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Removes it now, and says what went. Bytes that nothing holds any longer go with the next sweep."""
    return show(here, remove_kept_long_enough(here.settings, here.database, who.project_id), removed=True)


def show(here: Services, listed: Sequence[retention.Due], *, removed: bool) -> dict[str, Any]:
    data = [
        {
            "kind": each.kind,
            "id": each.id,
            "bytes": each.size_bytes,
            "age_seconds": each.age_seconds,
            "reason": each.reason,
        }
        for each in listed
    ]
    return {
        "object": "retention",
        "keep_seconds": here.settings.retention,
        "never": list(NEVER),
        "data": data,
        "bytes": sum(each.size_bytes for each in listed),
        "removed": removed,
    }

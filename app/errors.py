"""Named errors: each knows its HTTP status and its wire code. Knows no web framework.

The wire code is the class name in snake_case. A message names what was wrong, its value, and what would be right.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args


class RootstockError(Exception):
    """Root of all errors that a client or a job's owner is told about."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    retry_after: ClassVar[int | None] = None
    """Seconds after which trying again makes sense."""
    permanent: ClassVar[bool] = False
    """True when repeating the same request can never succeed (409 only)."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    @property
    def code(self) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def body(self) -> dict[str, Any]:
        """The envelope's inner object: message, type, param, code."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


# 400: empty or malformed
class BadRequest(RootstockError):
    status = 400
    type = "invalid_request_error"


class Malformed(BadRequest):
    """The body is not what its content type says, or a part of it is missing."""


class EmptyInput(BadRequest):
    """Nothing to work on."""


# 401, 403
class InvalidApiKey(RootstockError):
    status = 401
    type = "authentication_error"


class MissingScope(RootstockError):
    status = 403
    type = "permission_error"


# 404, 405
class NotFound(RootstockError):
    status = 404
    type = "invalid_request_error"


class ModelNotFound(NotFound):
    """No model, version or alias of that name in the caller's project."""


class MethodNotAllowed(RootstockError):
    status = 405
    type = "invalid_request_error"


# 408
class TooSlow(RootstockError):
    """The body did not arrive in time; the connection is closed."""

    status = 408
    type = "invalid_request_error"


# 409: state conflict
class Conflict(RootstockError):
    status = 409
    type = "conflict_error"
    permanent = True


class InUse(Conflict):
    """Something else still needs what was to be deleted."""


class WrongState(Conflict):
    """The job, upload or dataset is in a state in which this cannot be done."""


class NameTaken(Conflict):
    """A unique name is already used."""


class IdempotencyKeyReused(Conflict):
    """The same Idempotency-Key came with another body."""


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key has not been answered yet."""

    permanent = False


# 413
class TooLarge(RootstockError):
    status = 413
    type = "invalid_request_error"


# 422: understood, and wrong
class Invalid(RootstockError):
    status = 422
    type = "invalid_request_error"


class OutOfRange(Invalid):
    """A number, length or size outside its bounds."""


class WrongType(Invalid):
    """A value of another type than the field's."""


class UnknownKey(Invalid):
    """A key that this object does not have."""


class UnknownChoice(Invalid):
    """A name that is not among the choices."""


class MissingKey(Invalid):
    """A required key is absent."""


class DoesNotFit(Invalid):
    """Parts that are fine alone and cannot work together."""


class DatasetsDiffer(Invalid):
    """Datasets of one job that cannot be read as one."""


class WrongChecksum(Invalid):
    """Bytes that have another hash than was announced."""


class AbilityMissing(Invalid):
    """The model cannot do what was asked of it."""


class NonFinite(Invalid):
    """A NaN or an infinity where a number is needed."""


class WrongShape(Invalid):
    """An input of another width or size than the model was trained on."""


class DatasetFailed(Invalid):
    """The dataset turned out invalid; its report says why."""


# what ends a job
class JobError(RootstockError):
    """Root of the errors that are stored on a failed job and never sent as a status."""

    type = "job_error"


class InvalidData(JobError):
    """An ingest found faults; the dataset's report lists them."""


class InvalidModel(JobError):
    """What was to be imported is no model that this service can read."""


class NonFiniteLoss(JobError):
    """The loss became NaN or infinite."""


class WorkerLost(JobError):
    """The worker died or fell silent as often as attempts are allowed."""


class TrainerCrashed(JobError):
    """The job's process ended without a word as often as attempts are allowed."""


class OutOfMemory(JobError):
    """The device's memory did not suffice."""


class ArtifactDamaged(JobError):
    """An artifact's bytes or answers differ from what was registered."""


class Internal(RootstockError):
    """A bug; the request id leads to the trace in the log."""


# 424, 429, 503, 507
class InferenceFailed(RootstockError):
    status = 424
    type = "inference_error"


class Overloaded(RootstockError):
    status = 429
    type = "rate_limit_error"
    retry_after = 1


class NotReady(RootstockError):
    status = 503
    type = "server_error"
    retry_after = 2


class InsufficientStorage(RootstockError):
    """A disk of the service is full; trying again helps once somebody has made room."""

    status = 507


KINDS: dict[str, type[Invalid]] = {
    "extra_forbidden": UnknownKey,
    "missing": MissingKey,
    "union_tag_not_found": MissingKey,
    "union_tag_invalid": UnknownChoice,
    "literal_error": UnknownChoice,
    "enum": UnknownChoice,
    "finite_number": NonFinite,
    "value_error": DoesNotFit,
    **dict.fromkeys(["greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"], OutOfRange),
    **dict.fromkeys(["string_too_short", "string_too_long", "too_short", "too_long"], OutOfRange),
    "string_pattern_mismatch": OutOfRange,
}
"""pydantic's error types to ours; all others are WrongType."""


def from_validation(errors: Sequence[Mapping[str, Any]], body: Any, model: Any = None) -> Invalid:
    """The first of pydantic's `errors()` as one of ours; `body` is what was validated, `model` by which, if known.

    Where the members of a union were tried in turn, the error at the deepest key that one of them has is of the one
    that was meant.
    """
    tried = [error for error in errors if error["loc"][:1] == errors[0]["loc"][:1]]
    first = max(tried, key=lambda error: len(_path(error, body)) - (error["type"] in ("missing", "extra_forbidden")))
    path = _path(first, body)
    param = "".join(path).lstrip(".") or None
    kind = KINDS.get(first["type"], WrongType)
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        param = f"{param}.name" if param else "kind"
        message = f"{context['tag']!r} is unknown; choose one of {context['expected_tags']}"
    elif first["type"] == "union_tag_not_found":
        tag = first["ctx"]["discriminator"].strip("'")
        param = f"{param}.{tag}" if param else tag
        message = f"Field required: {param}"
    elif kind is UnknownKey:
        known = _keys(model, path[:-1])
        message = "there is no such key" + (f"; there are {', '.join(known)}" if known else "")
    elif kind is MissingKey:
        message = f"{message}: {param}"
    else:
        shown = repr(first.get("input"))
        message = f"{message}; got {shown if len(shown) <= 200 else shown[:200] + '…'}"
    return kind(f"{param}: {message}" if param else message, param=param)


def _path(error: Mapping[str, Any], body: Any) -> list[str]:
    """Where in the body the error lies. pydantic's locations name the members of unions too, which are no keys."""
    path: list[str] = []
    here = body
    for position, step in enumerate(error["loc"]):
        absent = error["type"] == "missing" and position == len(error["loc"]) - 1
        if not isinstance(here, Mapping | list) or (isinstance(here, Mapping) and step not in here and not absent):
            continue
        path.append(f"[{step}]" if isinstance(step, int) else f".{step}")
        known = step in here if isinstance(here, Mapping) else isinstance(step, int) and step < len(here)
        here = here[step] if known else None
    return path


def _keys(model: Any, path: Sequence[str]) -> list[str]:
    """The keys of the object at `path` within a pydantic model; none where that is no single model."""
    for step in path:
        fields = getattr(model, "model_fields", {})
        kind = fields[step[1:]].annotation if step[1:] in fields else None
        members = [each for each in (kind, *get_args(kind)) if hasattr(each, "model_fields")]
        model = members[0] if len(members) == 1 else None
    return sorted(getattr(model, "model_fields", {}))

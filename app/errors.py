"""Named errors: each knows its HTTP status and its wire code. Knows no web framework.

The wire code is the class name in snake_case. A message names what was wrong, its value, and what would be right.
"""

import re
from typing import Any, ClassVar

LONGEST = 2000
"""Characters of a message: what it shows of what a client sent may be longer."""


class RootstockError(Exception):
    """Root of all errors that a client or a job's owner is told about."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    retry_after: ClassVar[int | None] = None
    """Seconds after which trying again makes sense."""
    permanent: ClassVar[bool] = False
    """True when repeating the same request can never succeed (409 only)."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        self.message = shortened(message)
        self.param = param and shortened(param)
        super().__init__(self.message)

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


class CheckpointGone(Conflict):
    """The checkpoint is no longer kept: a job keeps its newest ones."""


class IdempotencyKeyReused(Conflict):
    """The same Idempotency-Key came with another body."""


class ChangedMeanwhile(Conflict):
    """What the request is about was deleted while it was worked on."""

    permanent = False


# 412
class PreconditionFailed(RootstockError):
    """Something else than `If-Match` names is there."""

    status = 412
    type = "invalid_request_error"


# 413
class TooLarge(RootstockError):
    status = 413
    type = "invalid_request_error"


# 415
class PackedBody(RootstockError):
    """The body is packed in a way that is not read."""

    status = 415
    type = "invalid_request_error"


# 416
class RangeNotSatisfiable(RootstockError):
    """A part was asked for that lies behind the end."""

    status = 416
    type = "invalid_request_error"


# 431
class HeadTooLarge(RootstockError):
    status = 431
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


def shortened(text: str) -> str:
    """Its beginning and its end, which say what is wrong."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"

"""The Open Inference Protocol, version 2, over HTTP with its binary tensors: what `tritonclient.http` and KServe speak.

A model has the input `input`: FP32 rows for vectors, UINT8 pictures, INT16 or FP32 samples, BYTES for texts. It has the
outputs of all that it can: `embedding`, `reconstruction`, `error`, `label`, `score`, `value`; structures come as JSON
in BYTES.
"""

from importlib.metadata import version as installed
from typing import Annotated, Any
from weakref import WeakKeyDictionary

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.deps import Services, ServicesHere, authenticate, bearer
from app.api.envelope import PROTOCOL
from app.api.health import CHECKS
from app.api.inference import OPERATIONS
from app.api.oip_schemas import InferRequest
from app.api.oip_tensors import BYTES, decode, encode
from app.api.openapi import json_body
from app.api.schemas import Wire
from app.errors import AbilityMissing, MissingKey, UnknownChoice, WrongType
from app.ml.inference.admission import Permit
from app.ml.inference.predictor import Predictor
from app.ml.operations.base import Operation
from app.registry import models
from app.registry.keys import Caller

HEADER = "inference-header-content-length"
INPUT = "input"
PLATFORM = "rootstock"
LEFT_OUT = ("object", "index")
GIVEN: WeakKeyDictionary[Predictor, dict[Operation, list[dict[str, Any]]]] = WeakKeyDictionary()
"""Of every loaded model; goes with it."""


def asker(request: Request, documented: Annotated[Any, Depends(bearer)]) -> Caller:
    """Who asks a model. What needs no key does without it."""
    return authenticate(request, "infer")


AskerHere = Annotated[Caller, Depends(asker)]


class Refusal(Wire):
    """Why it was not answered."""

    error: str
    """In words."""


FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": "Not answered."}
    for status in (400, 401, 403, 404, 413, 422, 424, 429, 503)
}
router = APIRouter(prefix=PROTOCOL, tags=["open inference protocol"], responses=FAULTS)


@router.get("")
def about() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": PLATFORM, "version": installed("rootstock"), "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/health/ready")
def ready(here: ServicesHere) -> dict[str, bool]:
    """Database, broker and storage answer; a 503 otherwise."""
    for check in CHECKS.values():
        check(here)
    return {"ready": True}


@router.get("/models/{model}")
async def metadata(here: ServicesHere, who: AskerHere, model: str) -> dict[str, Any]:
    """Inputs and outputs of a model."""
    predictor = await find(here, who, model)

    def versions() -> list[str]:
        with here.database.reading() as session:
            found = models.get(session, who.project_id, predictor.reference.partition(":")[0])
            return [str(each.number) for each in models.versions(session, found.id)]

    return {
        "name": model,
        "versions": await run_in_threadpool(versions),
        "platform": PLATFORM,
        "inputs": [{"name": INPUT, **taken(predictor)}],
        "outputs": [output for outputs in given(predictor).values() for output in outputs],
    }


@router.get("/models/{model}/versions/{number}")
async def version_metadata(here: ServicesHere, who: AskerHere, model: str, number: str) -> dict[str, Any]:
    """Inputs and outputs of a version."""
    return {**await metadata(here, who, f"{model}:{number}"), "name": model}


@router.get("/models/{model}/ready")
async def model_ready(here: ServicesHere, who: AskerHere, model: str) -> dict[str, Any]:
    """The model is loaded and gives its golden answers."""
    predictor = await find(here, who, model)
    return {"name": predictor.reference, "ready": True}


@router.get("/models/{model}/versions/{number}/ready")
async def version_ready(here: ServicesHere, who: AskerHere, model: str, number: str) -> dict[str, Any]:
    """The version is loaded and gives its golden answers."""
    return await model_ready(here, who, f"{model}:{number}")


INFERRED: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}
"""FastAPI knows nothing of an answer that the route makes itself."""


@router.post("/models/{model}/infer", responses=INFERRED, openapi_extra=json_body(InferRequest))
async def infer(request: Request, here: ServicesHere, who: AskerHere, model: str) -> Response:
    """Asks a model for all that it can, or for the named outputs."""
    size = request.headers.get(HEADER)
    if size is not None and not (size.isascii() and size.isdigit()):
        raise WrongType(f"{HEADER} is {size!r}; a number of bytes is right", param=HEADER)
    body = await request.body()
    with Permit(here.serving.permits) as permit:
        await permit.get(len(body))
        wanted = await run_in_threadpool(decode, body, None if size is None else int(size))
        if set(wanted.inputs) != {INPUT}:
            raise MissingKey(f"inputs are {sorted(wanted.inputs)}; the model has one, {INPUT!r}", param="inputs")
        predictor = await find(here, who, model)
        if not given(predictor):
            can = ", ".join(predictor.abilities)
            message = f"model {predictor.reference} has no outputs here: what it can, {can}, is asked under /v1"
            raise AbilityMissing(message, param="model")
        tensors: dict[str, Any] = {}
        for operation, outputs in given(predictor).items():
            names = {output["name"] for output in outputs}
            if wanted.outputs is None or names & wanted.outputs.keys():
                asked = operation.Request.model_validate({"model": model, INPUT: wanted.inputs[INPUT]})
                found, _ = await predictor.answer(operation, asked, large=True, pack=tensors_of, waited=permit.waited)
                tensors |= found
        for name in wanted.outputs or ():
            if name not in tensors:
                known = ", ".join(output["name"] for outputs in given(predictor).values() for output in outputs)
                raise UnknownChoice(f"outputs: the model has no {name!r}; it has {known}", param="outputs")
        chosen = {name: value for name, value in tensors.items() if wanted.outputs is None or name in wanted.outputs}
        binary = wanted.outputs or dict.fromkeys(chosen, wanted.binary)
        name, _, version = predictor.reference.partition(":")
        head = {"model_name": name, "model_version": version, **({"id": wanted.id} if wanted.id else {})}
        content, head_size = await run_in_threadpool(encode, head, chosen, binary)
    if head_size is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={HEADER: str(head_size)})


@router.post("/models/{model}/versions/{number}/infer", responses=INFERRED, openapi_extra=json_body(InferRequest))
async def version_infer(request: Request, here: ServicesHere, who: AskerHere, model: str, number: str) -> Response:
    """Asks a version for all that it can, or for the named outputs."""
    return await infer(request, here, who, f"{model}:{number}")


async def find(here: Services, who: Caller, model: str) -> Predictor:
    """The loaded model of that name, which may hold a version or an alias."""
    return here.serving.at_hand(who.project_id, model) or await here.serving.model(who.project_id, model)


def taken(predictor: Predictor) -> dict[str, Any]:
    """Type and shape of the input."""
    modality, shape = predictor.reading.modality.settings.name, list(predictor.reading.modality.shape.size)
    if modality == "text":
        return {"datatype": BYTES, "shape": [-1]}
    if modality == "image":
        channels, height, width = shape
        return {"datatype": "UINT8", "shape": [-1, height, width, channels]}
    return (
        {"datatype": "INT16", "shape": [-1, -1]} if modality == "audio" else {"datatype": "FP32", "shape": [-1, *shape]}
    )


def given(predictor: Predictor) -> dict[Operation, list[dict[str, Any]]]:
    """The outputs of every operation, by what it answers to the golden input: worked out once for a loaded model."""
    known = GIVEN.get(predictor)
    if known is None:
        known = GIVEN[predictor] = {
            operation: [
                {"name": name, "datatype": kind, "shape": [-1, *shape]}
                for name, (kind, shape) in predictor.sample(operation, outline).items()
            ]
            for operation in OPERATIONS
            if operation.of_items and operation.ability in predictor.abilities
        }
    return known


def outline(answer: dict[str, Any]) -> dict[str, tuple[str, list[int]]]:
    return {
        name: (BYTES, []) if isinstance(value, list) else ("FP32", list(value.shape[1:]))
        for name, value in tensors_of(answer).items()
    }


def tensors_of(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer's entries as one tensor for every key: numbers FP32, texts a list, structures as JSON."""
    entries = answer["data"]
    found: dict[str, Any] = {}
    for key in entries[0]:
        if key in LEFT_OUT:
            continue
        values = [entry[key] for entry in entries]
        if all(isinstance(value, str) for value in values):
            found[key] = values
        elif isinstance(values[0], dict) or (isinstance(values[0], list) and not all(map(_numeric, values))):
            found[key] = [orjson.dumps(value).decode() for value in values]
        else:
            found[key] = np.asarray(values, np.float32)
    return found


def _numeric(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, int | float)

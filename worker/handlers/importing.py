"""The handler of an `import` job: an archive in, a published model out. Knows no family of models.

The archive is either what `GET /v1/models/{name}/artifact` gives or a folder of Hugging Face. Nothing of it is run, no
pickle is read, nothing is written under a name of its choosing, and no more is unpacked than a file may have.
"""

import contextlib
import json
import posixpath
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from app.disk import needing_room
from app.errors import ArtifactDamaged, InvalidModel, NotFound
from app.ml import artifact
from app.ml.build import build_network
from app.ml.jobs.train import TrainSpec
from app.registry import fenced, files, jobs, objects
from app.registry.tables import File, Job
from worker.handlers import hugging_face, wordpiece
from worker.ingest.archives.containers import BROKEN, Archive, Member, is_tar, open_tar, open_zip
from worker.ingest.faults import Faults
from worker.ingest.readers.unpack import packed_with, unpack
from worker.ingest.run import open_input
from worker.ingest.source import Context
from worker.progress import Reporter
from worker.publishing.publication import Proved, prove, register

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
"""Endings of files whose reading may run what they hold."""
MOST_TEXT = 64 << 20
"""Bytes of a JSON file or a vocabulary."""
GOLDEN = (
    "A gardener grows one strong root.",
    "Where is the nearest station?",
    "The invoice of 12 March was paid twice, please refund one of the payments.",
    "naïve café, straße, 東京, 🙂",
    "x",
    "Quarterly revenue rose by 4.5 % although fewer orders came in than in the year before.",
    "def add(a, b): return a + b",
    "Rain until noon, then dry.",
)
"""What an imported encoder's answers are kept of; no two of one length."""


def run(reporter: Reporter) -> None:
    """Publishes the model in the file that the job names. Raises InvalidModel, Stopped, and Fenced."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        try:
            file = files.get(session, job.project_id, job.request["file"])
        except NotFound:
            raise InvalidModel(f"file {job.request['file']!r} was deleted before it was read") from None
        parts = objects.held(session, file.id)["content"]
    scratch = reporter.scratch

    def tick(rows: int) -> None:
        reporter.leave_if_asked()

    with contextlib.ExitStack() as opened:
        context = Context(Faults(), opened, scratch, reporter.settings.max_file_bytes, tick)
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=scratch, prefix="import-")))
        given = open_input(reporter, file, parts, context, reporter.storage.local)
        packing = packed_with(given.stream.read(8))
        unpacked = given if packing is None else unpack(given, packing, context)
        if unpacked is None:
            raise refused(context.faults)
        unpacked.stream.seek(0)
        first = unpacked.stream.read(512)
        if not first.startswith(b"PK") and not is_tar(first):
            raise InvalidModel(f"{file.filename} is neither a ZIP nor a TAR; pack the model's folder into one")
        archive = (open_zip if first.startswith(b"PK") else open_tar)(unpacked, context)
        if context.faults.total:
            raise refused(context.faults)
        members = below_root(archive)
        if artifact.MODEL in members:
            made, about = of_our_own(reporter, members, folder), "an artifact of this service"
        else:
            made, about = of_hugging_face(reporter, members, folder), "a folder of Hugging Face"
    publish(reporter, job, file, made, about)  # tidied up: a process whose job has ended may be killed at once


def below_root(archive: Archive) -> dict[str, Member]:
    """The archive's files by their paths below the folder that holds the model. Raises InvalidModel for pickles."""
    for member in archive.members:
        if member.path.lower().endswith(PICKLES):
            raise InvalidModel(
                f"{archive.file.name} holds {member.path!r}, which may hold a program and is never read; leave it out "
                f"and give the weights as {hugging_face.WEIGHTS}"
            )
    names = (artifact.MODEL, hugging_face.CONFIG)
    roots = [posixpath.dirname(each.path) for each in archive.members if posixpath.basename(each.path) in names]
    if not roots:
        raise InvalidModel(f"{archive.file.name} holds neither {names[0]} nor {names[1]}: pack the model's folder")
    root = min(roots, key=lambda path: (path.count("/") + bool(path), path))
    start = f"{root}/" if root else ""
    return {each.path.removeprefix(start): each for each in archive.members if each.path.startswith(start)}


def of_our_own(reporter: Reporter, members: Mapping[str, Member], folder: Path) -> Proved:
    """The artifact as it is, proved to answer here as it did where it was made."""
    written = {name: write(member, folder / name) for name, member in artifact.own(members).items()}
    try:
        return prove(reporter, written)
    except ArtifactDamaged as error:
        raise InvalidModel(error.message) from error


def of_hugging_face(reporter: Reporter, members: Mapping[str, Member], folder: Path) -> Proved:
    """The encoder in an artifact of ours, as if it had been pretrained here: with a projection that learned nothing."""
    if hugging_face.WEIGHTS not in members:
        raise InvalidModel(f"the archive has no {hugging_face.WEIGHTS}; it holds {', '.join(sorted(members)[:20])}")
    documents = {path: document(member) for path, member in members.items() if path.endswith(".json")}
    words = members.get(wordpiece.VOCABULARY)
    weights = write(members[hugging_face.WEIGHTS], folder / "given.safetensors")
    found = hugging_face.read(documents, weights, None if words is None else text(words))
    roles = {
        "input": {
            "modality": found.text.settings.model_dump(mode="json"),
            "encoder": found.encoder.model_dump(mode="json"),
        }
    }
    spec = {"roles": roles, "objective": {"name": "contrastive"}}
    torch.manual_seed(0)
    network = build_network(spec, {"input": found.text})
    network.encoders["input"].load_state_dict(found.weights)
    if found.left_out:
        reporter.event("message", f"not used by a sentence encoder: {', '.join(found.left_out[:10])}")
    golden = found.text.encode(found.text.read(list(GOLDEN)))
    with needing_room(folder):
        written = artifact.save(folder, network, {"input": found.text}, spec, golden_inputs=golden, extra={})
    return prove(reporter, written)


def publish(reporter: Reporter, job: Job, file: File, made: Proved, about: str) -> None:
    """As the next version of the asked name, else of the name that the artifact had."""
    extra = made.loaded.extra if isinstance(made.loaded.extra, dict) else {}
    name = job.request.get("name") or extra.get("name")
    if not isinstance(name, str):
        raise InvalidModel("the archive does not say what the model is called; give a name")
    source = {"kind": "import", "source": {"file": file.id, "filename": file.filename, "sha256": file.sha256}}
    spec: dict[str, Any] = {**made.loaded.spec, **source}
    with contextlib.suppress(ValidationError):  # what it was trained with, where the archive says it
        spec = {**TrainSpec.model_validate(extra.get("spec")).model_dump(mode="json"), **made.loaded.spec, **source}
    metrics = extra.get("metrics") if isinstance(extra.get("metrics"), dict) else {}
    if "\\u0000" in json.dumps([name, spec, metrics]):
        raise InvalidModel(f"{artifact.MODEL} holds the character U+0000, which no text here may contain")
    alias = (job.request.get("publish") or {}).get("alias")
    reporter.event("message", f"{file.filename} is {about}: {made.parameters:,} parameters, proved by its answers")
    with reporter.database.session() as session:
        version = register(session, job, made, name=name, spec=spec, metrics=metrics or {}, alias=alias)
        fenced.succeed(session, reporter.job_id, reporter.token, version_id=version.id, metrics=version.metrics)


def refused(faults: Faults) -> InvalidModel:
    return InvalidModel(faults.kept[0].message)


def document(member: Member) -> Any:
    try:
        return json.loads(text(member))
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"{member.path} is no JSON: {error}") from None


def text(member: Member) -> str:
    if member.size > MOST_TEXT:
        raise InvalidModel(f"{member.path} has {member.size:,} bytes; at most {MOST_TEXT:,} are read")
    try:
        return member.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidModel(f"{member.path} is not UTF-8: {error}") from None
    except (*BROKEN, ValueError) as error:
        raise InvalidModel(f"{member.path} cannot be unpacked: {error}") from None


def write(member: Member, path: Path) -> Path:
    try:
        with needing_room(path.parent), path.open("wb") as file:
            for chunk in member.chunks():
                file.write(chunk)
    except (*BROKEN, ValueError) as error:
        raise InvalidModel(f"{member.path} cannot be unpacked: {error}") from None
    return path

"""Everything before the first step: data, what the modalities learn from it, network, place to resume from."""

import platform
from typing import Any

import torch

from app.dataset import Dataset, open_dataset
from app.errors import DoesNotFit
from app.ml import artifact
from app.ml.build import begin, build_network, continues, graft, labels_differ, lender, take_over
from app.ml.jobs.train import JobRequest, TrainSpec
from app.ml.modalities.base import Fitted
from app.ml.resolving.defaults import resolve
from app.ml.resolving.domains import together
from app.ml.runtime.threads import threads_beside
from app.ml.tensors.device import chosen
from app.registry import jobs, objects, tables
from app.registry.tables import Version
from worker import checkpoint
from worker.data.domains import Domain, columns, joined
from worker.evaluation.words import read as read_words
from worker.progress import Reporter
from worker.step.devices import Devices, compute_repeatably
from worker.training_run import Run


def prepare(reporter: Reporter) -> Run:
    """Opens the job's data, resolves its spec, and builds its network or takes up its newest checkpoint; says so."""
    device = chosen(reporter.settings.device)
    compute_repeatably(device)
    saved = checkpoint.newest(reporter)
    run = assemble(reporter, saved, device)
    position, here = run.position, environment(run.device)
    if position.environment != here:
        reporter.event(
            "warning",
            f"resumed on {here}, begun on {position.environment}: results may differ in the last bits",
            level="warn",
        )
    if saved is not None and position.devices != run.devices.count:
        reporter.event(
            "warning",
            f"resumed on {run.devices.count} devices, begun on {position.devices}: results may differ in the last bits",
            level="warn",
        )
    parameters = sum(parameter.numel() for parameter in run.network.parameters())
    begun = f"resumed at step {position.step}" if saved is not None else "started"
    reporter.event(
        "message", f"{begun} on {run.device.type} with {position.threads} threads: {parameters:,} parameters"
    )
    return run


def assemble(reporter: Reporter, saved: checkpoint.State | None, device: torch.device) -> Run:
    """The job's training at its beginning, or as it was `saved`: `tensors` are then still to be put in place."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        used = [(row, session.get_one(tables.Dataset, row.dataset_id)) for row in jobs.datasets_of(session, job.id)]
        held = [objects.held(session, dataset.id) for _, dataset in used]
        base = session.get(Version, job.base_version_id) if job.base_version_id else None
        base_held = objects.held(session, base.id) if base is not None else {}
    opened = [
        open_dataset({name: reporter.storage.local(parts[0]) for name, parts in objects.items()}) for objects in held
    ]
    base_model = None
    if base is not None:
        parts = artifact.own(base_held)
        base_model = artifact.load({name: reporter.storage.local(part[0]) for name, part in parts.items()})

    devices = Devices.joined(device.type)
    if device.type == "cuda" and devices.count > 1:
        if devices.count > (there := torch.cuda.device_count()):
            raise DoesNotFit(f"ROOTSTOCK_DEVICES is {devices.count}, and there are {there} GPUs here: {there} at most")
        device = torch.device("cuda", devices.rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    if saved is not None:
        position, tensors = saved.position, saved.tensors
        spec = TrainSpec.model_validate(position.spec)
        dataset, domains = _domains(spec, used, opened)
        fitted = {role: part.modality.restore(position.fitted[role]) for role, part in spec.roles.items()}
    else:
        spec = _spec(reporter, job, used, base)
        dataset, domains = _domains(spec, used, opened)
        fitted = _fit(spec, domains, base_model)
        states = {role: modality.state() for role, modality in fitted.items()}
        position = checkpoint.Position(
            spec.model_dump(mode="json"), states, 0, threads_beside(device), environment(device)
        )
        tensors = {}

    words = read_words(reporter, job.project_id, spec.evaluation) if spec.evaluation is not None else None
    torch.manual_seed(spec.training.seed)
    network = build_network(spec.network(), fitted)
    goes_on, taken_over = base_model is not None and continues(spec.kind, spec.network(), base_model.spec), False
    if base_model is not None and goes_on and not labels_differ(fitted, base_model.roles):
        taken_over = take_over(network, base_model.network)
    if base_model is not None and not taken_over:
        lenders = {role: lender(role, spec.network(), base_model.spec) for role in network.encoders}
        graft(network, base_model.network, lenders)
    sources = [{"id": each.id, "fingerprint": each.fingerprint, "weight": each.share} for each in domains]
    run = Run(
        spec,
        dataset,
        fitted,
        network.to(device),
        device,
        position,
        reporter.settings.window_bytes,
        tensors,
        sources,
        base,
        base_model if goes_on else None,
        devices,
        domains,
        words,
    )
    if saved is None and not taken_over:
        begin(network, run.some_rows)
    return run


def environment(device: torch.device) -> dict[str, str]:
    """What decides the last bit of a result besides the thread count."""
    about = {
        "machine": platform.machine(),
        "torch": torch.__version__,
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }
    return about | {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else about


def _spec(reporter: Reporter, job: tables.Job, used: list[Any], base: Version | None) -> TrainSpec:
    if job.spec is not None:
        return TrainSpec.model_validate(job.spec)
    resolved = resolve(
        JobRequest.validate_python(job.request),
        [dataset.profile for _, dataset in used],
        {"reference": f"{base.model.name}:{base.number}", "spec": base.spec} if base is not None else None,
        name=used[0][1].name,
    )
    reporter.resolved(resolved.spec.model_dump(mode="json"), resolved.choices)
    return resolved.spec


def _domains(spec: TrainSpec, used: list[Any], opened: list[Dataset]) -> tuple[Dataset, list[Domain]]:
    """The job's datasets as one, and each by itself with names at the positions that they have among all of them."""
    if len(used) == 1:
        ((row, dataset),) = used
        return opened[0], [Domain(row.dataset_id, dataset.name, dataset.fingerprint, opened[0])]
    profile = together([each.profile for each in opened], [row.dataset_id for row, _ in used], spec.objective.roles)
    weights = {ref.id: ref.weight or 1.0 for ref in spec.datasets}
    domains = [
        Domain(row.dataset_id, dataset.name, dataset.fingerprint, joined([each], profile), weights[row.dataset_id])
        for (row, dataset), each in zip(used, opened, strict=True)
    ]
    return joined(opened, profile), domains


def _fit(spec: TrainSpec, domains: list[Domain], base: artifact.Artifact | None) -> dict[str, Fitted]:
    """What the base model learned for the roles that it brings; the rest from the training splits alone."""
    fitted: dict[str, Fitted] = {}
    for role, part in spec.roles.items():
        if part.like is not None:
            fitted[role] = fitted[part.like]
        elif base is not None and (part.encoder is not None or (role in base.roles and part.modality.name == "text")):
            fitted[role] = base.roles[lender(role, spec.network(), base.spec)]
        else:
            alike = [role, *(name for name, other in spec.roles.items() if other.like == role)]
            fitted[role] = part.modality.fit(column for name in alike for column in columns(domains, name))
    return fitted

"""Every stepped objective on every modality, stopped in mid-epoch and resumed: its weights end bit for bit the same.

What may differ is the objective (teachers, noise, buffers) and how an item becomes tensors, so one encoder per modality
will do, the objective's usual one; the other encoders come once each.
"""

import random
import shutil
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from app.dataset import Dataset, Split, field
from app.ml.build import build_network
from app.ml.jobs.network import RoleSpec
from app.ml.jobs.optimization import ResolvedTraining
from app.ml.jobs.train import DatasetRef, TrainSpec
from app.ml.objectives.autoencoding import Autoencoding
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.plugins import Auto
from app.ml.resolving.augmenting import choose
from app.ml.tensors.device import chosen as chosen_device
from app.ml.tensors.shapes import AnyColumn
from app.ragged import Ragged
from app.registry import leases
from app.registry.db import Database
from app.registry.tables import Dataset as DatasetRow
from app.storage import storage_at
from tests.contracts.specimens import Pair, column, fit, pairs
from tests.workshop import Workshop, blobs
from worker import checkpoint
from worker.data.domains import Domain
from worker.preparation import environment
from worker.progress import Quiet, Reporter, Stopped
from worker.step.devices import compute_repeatably
from worker.trainer import Trainer
from worker.training_run import Run

DEVICE = chosen_device("auto")
ROWS, BATCH, EPOCHS = 10, 4, 2
"""Three steps an epoch, the last of them shorter."""


def chosen() -> Iterator[Pair]:
    usual = [pair for pair in pairs() if pair.dimensions is None]
    seen = {pair.encoder.name for pair in usual}
    yield from usual
    for pair in pairs():
        if pair.encoder.name not in seen:
            seen.add(pair.encoder.name)
            yield pair
    table = next(pair for pair in pairs() if (pair.objective.name, pair.encoder.name) == ("autoencoding", "mlp"))
    yield replace(table, objective=Autoencoding(residual=True, code_noise=0.1, stress=1.0))


@pytest.fixture(scope="module")
def workshop(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workshop, DatasetRow]]:
    folder = tmp_path_factory.mktemp("resume")
    database = Database(f"sqlite:///{shutil.copy(migrated_sqlite, folder)}")
    made = Workshop(database, storage_at((folder / "objects").as_uri(), folder / "cache", 2**26), folder / "home")
    yield made, made.dataset(blobs(rows=60))
    database.close()


def stored(modality: str, values: AnyColumn) -> pa.Array:
    """Raw rows as a dataset's file holds them."""
    if isinstance(values, Ragged):
        inner = values.values[0].size if values.values.ndim > 1 else 1
        return pa.ListArray.from_arrays(pa.array(values.offsets * inner, pa.int32()), pa.array(values.values.ravel()))
    if values.ndim > 1:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values[0].size)
    array = pa.array(values.tolist(), pa.float32() if modality == "numbers" else pa.string())
    return array.dictionary_encode() if modality == "classes" else array


def split(pair: Pair, path: Path) -> Split:
    columns = {role: column(modality, ROWS) for role, modality in pair.modalities.items()}
    shapes = {role: () if isinstance(c, Ragged) else c.shape[1:] for role, c in columns.items()}
    schema = pa.schema([field(role, m.reads or m.name, shapes[role]) for role, m in pair.modalities.items()])
    arrays = [stored(pair.modalities[role].name, values) for role, values in columns.items()]
    with pa.ipc.new_file(str(path), schema) as file:
        file.write_batch(pa.record_batch(arrays, schema=schema))
    return Split(path)


def spec(pair: Pair, dataset: DatasetRow) -> TrainSpec:
    objective = pair.objective
    roles = {
        role: RoleSpec(
            modality=modality,
            encoder=pair.encoder if objective.roles[role].encoded else None,
            dimensions=pair.dimensions if objective.roles[role].encoded else None,
        )
        for role, modality in pair.modalities.items()
    }
    inputs = [modality.name for role, modality in pair.modalities.items() if role != "target"]
    data = TrainingData(fit(pair.modalities[objective.request_role]).shape, rows=dataset.rows or 0)
    augmentation, _ = choose(Auto(), inputs, data.shape, objective.views, objective.default_augmentations(data))
    training = ResolvedTraining(
        epochs=EPOCHS,
        batch_size=BATCH,
        learning_rate=1e-3,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="one_cycle",
        warmup=0.25,
        clip_norm=1.0,
        precision="fp32",
        seed=3,
        early_stopping=None,
        checkpoint_seconds=60.0,
        ema=0.9,
    )
    return TrainSpec(
        kind="pretrain",
        datasets=[DatasetRef(id=dataset.id)],
        name="specimen",
        base_model=None,
        roles=roles,
        objective=objective,
        augmentation=augmentation,
        training=training,
    )


class Interrupted(Trainer):
    """Is asked to leave in the middle of a step."""

    at = 0

    def train_step(self, batch: Any) -> None:
        super().train_step(batch)
        if self.position.step + 1 == self.at:
            self.reporter.stop.set()


@pytest.mark.parametrize("pair", list(chosen()), ids=str)
def test_a_resumed_training_ends_with_the_same_weights(
    pair: Pair, workshop: tuple[Workshop, DatasetRow], tmp_path: Path
) -> None:
    house, row = workshop
    compute_repeatably(DEVICE)
    held = split(pair, tmp_path / "rows.arrow")
    dataset = Dataset({}, {"train": held, "validation": held})
    settled = spec(pair, row)
    fitted = {role: fit(modality) for role, modality in pair.modalities.items()}

    def run(saved: checkpoint.State | None = None) -> Run:
        torch.manual_seed(settled.training.seed)
        network = build_network(settled.network(), fitted).to(DEVICE)
        states = {role: modality.state() for role, modality in fitted.items()}
        threads, here = torch.get_num_threads(), environment(DEVICE)
        begun = checkpoint.Position(settled.model_dump(mode="json"), states, 0, threads, here)
        position, tensors = (saved.position, saved.tensors) if saved else (begun, {})
        domain = Domain(row.id, row.name, row.fingerprint, dataset)
        return Run(settled, dataset, fitted, network, DEVICE, position, 2**24, tensors, domains=[domain])

    def reporter(job_id: str) -> Reporter:
        with house.database.session() as session:
            claimed = leases.claim(session, job_id, "test", 600.0)
        assert claimed is not None
        return Quiet(house.settings, house.database, house.storage, job_id, claimed.token, threading.Event())

    whole = run()
    Trainer(reporter(house.job(row).id), whole).train()

    interrupted = house.job(row)
    first = reporter(interrupted.id)
    trainer = Interrupted(first, run())
    trainer.at = random.Random(zlib.crc32(str(pair).encode())).choice([1, 2, 4, 5])  # in mid-epoch
    with pytest.raises(Stopped):
        trainer.train()
    with house.database.session() as session:
        assert leases.leave(session, interrupted.id, first.token) == "queued"
    second = reporter(interrupted.id)
    saved = checkpoint.newest(second)
    assert saved is not None
    assert saved.position.step == trainer.at
    resumed = run(saved)
    Trainer(second, resumed).train()

    expected, given = whole.network.state_dict(), resumed.network.state_dict()
    assert resumed.position.curves == whole.position.curves
    assert all(torch.equal(expected[name], given[name]) for name in expected)

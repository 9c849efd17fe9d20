"""Fine-tuning through the stock SDK, from a file of labelled rows to predictions; its jobs are jobs like all others."""

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from app.errors import RootstockError
from app.registry import jobs, keys
from app.registry.tables import Version
from app.settings import Settings
from tests import tone_speech
from tests.integration.api.conftest import House, serve
from tests.workshop import Workshop, blobs
from worker.processes.process import Order, write_failure


class School:
    """A server, a worker's handlers in this process, one project, and a base model in it."""

    def __init__(self, house: House, home: Path) -> None:
        self.workshop = Workshop(house.database, house.storage, home)
        with house.database.session() as session:
            secret = keys.create_key(session, self.workshop.project_id, "test", ("read", "infer", "train"))[1]
        self.client = OpenAI(base_url=f"{house.base_url}/v1", api_key=secret, max_retries=0)
        dataset = self.workshop.dataset(blobs(labels=False))
        self.base: Version = self.workshop.train(self.workshop.job(dataset, name="root", training={"epochs": 2}))

    def work(self) -> None:
        """Does all queued jobs, oldest first."""
        from worker.ingest.run import run as ingest
        from worker.trainer import run as train

        with self.workshop.database.reading() as session:
            page = jobs.list_page(
                session, self.workshop.project_id, limit=100, after=None, descending=False, status="queued"
            )
        for job in page.rows:
            reporter = self.workshop.claim(job.id)
            try:
                (ingest if job.kind == "ingest" else train)(reporter)
            except RootstockError as error:
                write_failure(self.workshop.database, Order(job.id, reporter.token, job.kind), error)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    home = tmp_path_factory.mktemp("school")
    with serve(Settings(home=home, sweep_seconds=3600)) as house:
        yield School(house, home)


def table(rows: slice) -> io.BytesIO:
    drawn = blobs()
    lines = [",".join([*(f"x{n}" for n in range(12)), "label"])]
    for features, label in zip(drawn["features"][rows], drawn["label"][rows], strict=True):
        lines.append(",".join([*(f"{value:.4f}" for value in features), f"class {label}"]))
    file = io.BytesIO("\n".join(lines).encode())
    file.name = "rows.csv"
    return file


def test_from_a_file_to_predictions(school: School) -> None:
    client = school.client
    training = client.files.create(file=table(slice(0, 300)), purpose="fine-tune")
    validation = client.files.create(file=table(slice(300, 400)), purpose="fine-tune")
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 8, "batch_size": 32}}}
    job = client.fine_tuning.jobs.create(
        model="root",
        training_file=training.id,
        validation_file=validation.id,
        method=method,
        seed=7,
        suffix="graft",
        metadata={"who": "me"},
    )
    assert job.id.startswith("ftjob-")
    assert (job.object, job.status, job.model) == ("fine_tuning.job", "validating_files", "root:1")
    assert (job.training_file, job.validation_file, job.seed) == (training.id, validation.id, 7)
    school.work()
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model, done.error) == ("succeeded", "graft:1", None), done
    assert (done.hyperparameters.n_epochs, done.metadata) == (8, {"who": "me"})
    assert [each.id for each in client.fine_tuning.jobs.list(limit=5)] == [job.id]
    told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=2)]
    assert told[0] == "succeeded"
    assert told[-1] == "finetune job queued"
    kept = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert kept
    assert kept[0].fine_tuning_job_id == job.id
    assert kept[0].metrics.full_valid_loss == kept[0].metrics.validation_loss  # type: ignore[attr-defined]
    assert kept[0].metrics.full_valid_loss is not None
    with pytest.raises(openai.NotFoundError, match="is a checkpoint and no model yet"):
        client.models.retrieve(kept[0].fine_tuned_model_checkpoint)
    plain = client.get(f"/jobs/job-{job.id.removeprefix('ftjob-')}", cast_to=object)
    assert plain["model"] == "graft:1"  # type: ignore[index]
    row = blobs()["features"][0].tolist()
    answer: Any = client.post("/predictions", body={"model": "graft", "input": row}, cast_to=object)
    assert answer["data"][0]["label"] == f"class {blobs()['label'][0]}"


def test_the_multiplier_scales_the_rate_that_is_chosen(school: School) -> None:
    file = school.client.files.create(file=table(slice(0, 200)), purpose="fine-tune")
    rates = []
    for multiplier in (1.0, 0.1):
        job = school.client.fine_tuning.jobs.create(
            model="root",
            training_file=file.id,
            hyperparameters={"n_epochs": 1, "learning_rate_multiplier": multiplier},
        )
        school.work()
        plain: Any = school.client.get(f"/jobs/job-{job.id.removeprefix('ftjob-')}", cast_to=object)
        assert plain["model"].startswith("root-ft:")
        rates.append(plain["spec"]["training"]["learning_rate"])
    assert rates[1] == pytest.approx(0.1 * rates[0])


def test_hyperparameters_count_wherever_they_stand(school: School) -> None:
    file = school.client.files.create(file=table(slice(0, 100)), purpose="fine-tune")
    create = functools.partial(school.client.fine_tuning.jobs.create, model="root", training_file=file.id)
    two: Any = {"n_epochs": 2}
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": two}}
    for given in (
        {"hyperparameters": two, "method": {"type": "supervised"}},
        {"hyperparameters": two, "method": method},
        {"method": method},
    ):
        job = create(**given)
        assert job.hyperparameters.n_epochs == 2
        school.client.fine_tuning.jobs.cancel(job.id)
    with pytest.raises(openai.UnprocessableEntityError, match="says otherwise; give one of the two"):
        create(hyperparameters={"n_epochs": 3}, method=method)


def test_it_is_paused_resumed_and_cancelled(school: School) -> None:
    file = school.client.files.create(file=table(slice(0, 200)), purpose="fine-tune")
    job = school.client.fine_tuning.jobs.create(model="root", training_file=file.id)
    assert str(school.client.fine_tuning.jobs.pause(job.id).status) == "paused"
    assert school.client.fine_tuning.jobs.resume(job.id).status == "validating_files"
    assert school.client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.ConflictError, match="cancelled"):
        school.client.fine_tuning.jobs.pause(job.id)


def test_a_file_without_labels_fails_by_name(school: School) -> None:
    file = io.BytesIO(
        "\n".join([",".join(f"x{n}" for n in range(12)), *(",".join([str(row)] * 12) for row in range(20))]).encode()
    )
    file.name = "rows.csv"
    held = school.client.files.create(file=file, purpose="fine-tune")
    job = school.client.fine_tuning.jobs.create(model="root", training_file=held.id)
    school.work()
    failed = school.client.fine_tuning.jobs.retrieve(job.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "does_not_fit"
    assert "labels" in failed.error.message


def test_labels_of_the_validation_file_alone_fail_by_name(school: School) -> None:
    client = school.client
    training = client.files.create(file=table(slice(0, 100)), purpose="fine-tune")
    rows = table(slice(100, 140)).getvalue().replace(b"class 1", b"class one")
    validation = client.files.create(file=("val.csv", rows), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="root", training_file=training.id, validation_file=validation.id)
    school.work()
    failed = client.fine_tuning.jobs.retrieve(job.id)
    assert failed.error is not None
    assert failed.error.code == "unknown_choice"
    assert "of the split validation: labelled 'class one', as no training row is" in failed.error.message


def test_a_voice_learns_from_recordings_with_transcripts(school: School) -> None:
    voice = school.workshop.dataset(tone_speech.archive(tone_speech.texts(60)), "voice.zip")
    speaking = {"name": "speech_synthesis", "width": 32, "depth": 1}
    encoder = {"caption": {"encoder": {"name": "rnn", "preset": "nano"}}}
    school.workshop.train(
        school.workshop.job(voice, name="voice", objective=speaking, roles=encoder, training={"epochs": 1})
    )
    content = tone_speech.archive(tone_speech.texts(40, seed=1))
    file = school.client.files.create(file=("more.zip", content), purpose="fine-tune")
    job = school.client.fine_tuning.jobs.create(
        model="voice", training_file=file.id, suffix="spoken", hyperparameters={"n_epochs": 1}
    )
    school.work()
    done = school.client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model) == ("succeeded", "spoken:1"), done.error
    model: Any = school.client.models.retrieve("spoken")
    assert model.abilities == ["synthesize"]


def test_a_job_whose_base_is_null_is_none_of_them(school: School) -> None:
    dataset = school.workshop.dataset(blobs(60, labels=False))
    body = {"kind": "pretrain", "dataset": dataset.id, "base_model": None}
    job: Any = school.client.post("/jobs", body=body, cast_to=object)
    school.client.post(f"/jobs/{job['id']}/cancel", cast_to=object)
    with pytest.raises(openai.NotFoundError, match="no base model"):
        school.client.fine_tuning.jobs.retrieve(job["id"].replace("job-", "ftjob-"))


def test_what_cannot_be_is_refused(school: School) -> None:
    client = school.client
    file = client.files.create(file=table(slice(0, 50)), purpose="fine-tune")
    with pytest.raises(openai.NotFoundError, match="model"):
        client.fine_tuning.jobs.create(model="nobody", training_file=file.id)
    with pytest.raises(openai.NotFoundError, match="training_file"):
        client.fine_tuning.jobs.create(model="root", training_file="file-none")
    with pytest.raises(openai.BadRequestError, match="supervised"):
        client.fine_tuning.jobs.create(model="root", training_file=file.id, method={"type": "dpo"})
    with pytest.raises(openai.UnprocessableEntityError, match="n_epochs"):
        client.fine_tuning.jobs.create(model="root", training_file=file.id, hyperparameters={"n_epochs": 0})
    with pytest.raises(openai.UnprocessableEntityError, match="n_epochs"):
        client.fine_tuning.jobs.create(model="root", training_file=file.id, hyperparameters={"n_epochs": True})
    with pytest.raises(openai.UnprocessableEntityError, match="validation_file: is the training_file; leave it out"):
        client.fine_tuning.jobs.create(model="root", training_file=file.id, validation_file=file.id)
    with pytest.raises(openai.UnprocessableEntityError, match="integrations: there is nothing to choose"):
        client.fine_tuning.jobs.create(
            model="root", training_file=file.id, integrations=[{"type": "wandb", "wandb": {"project": "p"}}]
        )
    with pytest.raises(openai.NotFoundError, match=r"training_file: .*, which is a dataset: POST /v1/jobs"):
        client.fine_tuning.jobs.create(model="root", training_file="ds-1")
    with pytest.raises(openai.NotFoundError, match="among all jobs it begins with job-"):
        client.get("/jobs/ftjob-1", cast_to=object)
    for wrong in ("ftjob-none", "job-1"):
        with pytest.raises(openai.NotFoundError):
            client.fine_tuning.jobs.retrieve(wrong)

"""Models from elsewhere through HTTP: our own artifacts, sentence encoders of Hugging Face, and what is refused."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from app.errors import InvalidModel
from app.registry import jobs, keys
from app.registry.tables import Dataset, Version
from app.settings import Settings
from tests import bert_folder, networks
from tests.integration.api.conftest import House, serve
from tests.integration.api.faults import refused
from tests.workshop import Workshop, blobs
from worker.handlers import importing
from worker.processes.process import Order, write_failure
from worker.publishing.publication import register


class Server:
    """A server with a worker's handlers in this process."""

    def __init__(self, house: House, home: Path) -> None:
        self.workshop = Workshop(house.database, house.storage, home)
        self.workshop.settings = house.services.settings
        with house.database.session() as session:
            secret = keys.create_key(session, self.workshop.project_id, "test", ("read", "infer", "train"))[1]
        self.client = house.client(secret)

    def ask(self, content: bytes, **fields: str) -> Any:
        form = {"file": ("model.tar", io.BytesIO(content), "application/x-tar")}
        answer = self.client.post("/v1/models/import", data=fields, files=form)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def work(self, job: Any) -> Any:
        reporter = self.workshop.claim(job["id"])
        try:
            importing.run(reporter)
        except InvalidModel as error:  # as the job's own process does
            write_failure(reporter.database, Order(job["id"], reporter.token, "import"), error)
        return self.client.get(f"/v1/jobs/{job['id']}").json()

    def take(self, content: bytes, **fields: str) -> Any:
        return self.work(self.ask(content, **fields))

    def embed(self, model: str, items: Any) -> Any:
        answer = self.client.post("/v1/embeddings", json={"model": model, "input": items})
        assert answer.status_code == 200, answer.text
        return np.array([each["embedding"] for each in answer.json()["data"]])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("first")
    with serve(Settings(home=home, sweep_seconds=3600, max_file_bytes=2**20)) as house:
        here = Server(house, home)
        with here.client:
            yield here


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("second")
    with serve(Settings(home=home, sweep_seconds=3600)) as house:
        here = Server(house, home)
        with here.client:
            yield here


@pytest.fixture(scope="module")
def tiny(server: Server) -> Any:
    """The job that imported a sentence encoder."""
    return server.take(bert_folder.zipped(bert_folder.files()), name="tiny", metadata='{"from": "elsewhere"}')


def test_a_sentence_encoder_becomes_an_ordinary_model(server: Server, tiny: Any) -> None:
    assert (tiny["status"], tiny["kind"], tiny["model"], tiny["error"]) == ("succeeded", "import", "tiny:1", None)
    assert tiny["metadata"] == {"from": "elsewhere"}
    model = server.client.get("/v1/models/tiny").json()
    assert (model["abilities"], model["dimensions"], model["modality"]) == (["embed"], bert_folder.WIDTH, "text")
    source = server.client.get("/v1/models/tiny/lineage").json()["spec"]["source"]
    assert source["filename"] == "model.tar"
    vectors = server.embed("tiny", ["a rose is a rose", "tree"])
    np.testing.assert_allclose(vectors[0, :3], [0.04622, 0.28542, -0.10095], atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    by_ids = server.embed("tiny", [[1, 2, 3]])  # as the original numbers them
    np.testing.assert_allclose(by_ids, server.embed("tiny", "a rose is"), atol=1e-5)


def test_it_leaves_as_a_graph_that_its_tokenizer_feeds(server: Server, tiny: Any) -> None:
    assert tiny["model"] == "tiny:1"
    with tarfile.open(fileobj=io.BytesIO(server.client.get("/v1/models/tiny/artifact").content)) as archive:
        about = json.load(archive.extractfile("tiny-1/model.json"))  # type: ignore[arg-type]
    tokenizer = Tokenizer.from_str(json.dumps(about["fitted"]["input"]["tokenizer"]))
    tokenizer.enable_padding()
    items = ["a rose is a rose", "tree"]
    rows = tokenizer.encode_batch(items, add_special_tokens=False)
    values, mask = np.array([row.ids for row in rows]), np.array([row.attention_mask for row in rows], np.bool_)
    graph = server.client.get("/v1/models/tiny/artifact?format=onnx").content
    (found,) = onnxruntime.InferenceSession(graph).run(["embed"], {"values": values, "mask": mask})
    np.testing.assert_allclose(found, server.embed("tiny", items), atol=1e-4)


def texts(server: Server) -> Dataset:
    draw = np.random.default_rng(0)
    words = {"plant": ["tree", "root", "rose"], "mark": ["!", "is", "東"]}
    names = [draw.choice(list(words)) for _ in range(400)]
    lines = [f"{name},{' '.join(draw.choice(words[name], draw.integers(2, 6)))}" for name in names]
    return server.workshop.dataset("\n".join(["label,text", *lines]).encode(), "texts.csv", modality="text")


def test_it_takes_a_graft_and_goes_on_being_pretrained(server: Server, tiny: Any) -> None:
    dataset = texts(server)
    with server.workshop.database.reading() as session:
        base = session.get_one(Version, jobs.load(session, tiny["id"]).version_id)
    graft = server.workshop.train(
        server.workshop.job(dataset, base, kind="finetune", name="graft", training={"epochs": 10})
    )
    assert graft.metrics["accuracy"] > 0.9
    assert graft.parent_id == base.id
    for objective in ({"name": "auto"}, {"name": "masked"}):
        job = server.workshop.job(dataset, base, name="further", objective=objective, training={"epochs": 1})
        assert server.workshop.train(job).dimensions == bert_folder.WIDTH


def test_an_artifact_gives_the_same_vectors_on_another_server(server: Server, other: Server, tiny: Any) -> None:
    rows = blobs()["features"][:50]
    dataset = server.workshop.dataset(blobs(labels=False))
    server.workshop.train(server.workshop.job(dataset, name="rows", training={"epochs": 2}))
    for name, items in (("rows", rows.tolist()), ("tiny", ["a rose", "東", "tree " * 30])):
        archive = server.client.get(f"/v1/models/{name}/artifact").content
        done = other.take(archive, **({"name": "moved"} if name == "tiny" else {}))
        assert (done["status"], done["error"]) == ("succeeded", None)
        moved = done["model"].partition(":")[0]
        assert moved == ("moved" if name == "tiny" else "rows")
        # each server has measured for itself which engine is faster
        np.testing.assert_allclose(other.embed(moved, items), server.embed(name, items), atol=1e-5)
    here, there = (each.client.get("/v1/models/rows").json() for each in (server, other))
    assert there["metrics"] == here["metrics"]
    assert there["abilities"] == here["abilities"]
    assert there["parameters"] == here["parameters"]
    lineages = [each.client.get("/v1/models/rows/lineage").json() for each in (server, other)]
    assert lineages[0]["seed"] == lineages[1]["seed"] == 0
    assert lineages[0]["spec"]["training"] == lineages[1]["spec"]["training"]


def test_what_has_no_graph_keeps_the_reason(server: Server, tmp_path: Path) -> None:
    written = networks.write(tmp_path, modality="image", objective="detection")
    content = bert_folder.tarred({name: path.read_bytes() for name, path in written.items()})
    assert server.take(content, name="finder")["status"] == "succeeded"
    answer = server.client.get("/v1/models/finder/artifact?format=onnx")
    assert "nothing that it answers (predict) is what graphs give" in refused(answer, 404, "not_found", "format")
    (version,) = server.client.get("/v1/models/finder/versions").json()["data"]
    assert version["engine"]["no_graph"] in answer.json()["error"]["message"]


def test_a_file_is_imported_by_its_id_and_an_alias_moved(server: Server) -> None:
    content = bert_folder.tarred(bert_folder.files(pooling="cls_token", normalised=False))
    form = {"file": ("tiny.tar.gz", content, "application/gzip")}
    file = server.client.post("/v1/files", data={"purpose": "user_data"}, files=form).json()
    body = {"file": file["id"], "name": "first", "publish": {"alias": "champion"}}
    keyed = {"idempotency-key": "once"}
    job = server.client.post("/v1/models/import", json=body, headers=keyed).json()
    assert server.client.post("/v1/models/import", json=body, headers=keyed).json()["id"] == job["id"]
    assert server.work(job)["model"] == "first:1"
    assert server.client.get("/v1/models/first@champion").json()["version"] == 1
    np.testing.assert_allclose(server.embed("first@champion", "tree")[0, :2], [-0.35458, 0.1674], atol=2e-5)


def test_nothing_lies_about_when_the_model_is_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose job has ended may be killed before it could tidy up."""
    lying: list[list[Path]] = []

    def look_about(session: Any, *rest: Any, **more: Any) -> Any:
        lying.append(list(server.workshop.settings.scratch.iterdir()))
        return register(session, *rest, **more)

    monkeypatch.setattr("worker.handlers.importing.register", look_about)
    assert server.take(bert_folder.zipped(bert_folder.files()), name="tidy")["status"] == "succeeded"
    assert lying == [[]]


def damaged() -> bytes:
    archive = bytearray(bert_folder.tarred(bert_folder.files(), "w"))
    return bytes(archive[:20_000])


def bomb() -> bytes:
    return bert_folder.zipped({**bert_folder.files(), "tokenizer.json": b" " * 2**21})


def link() -> bytes:
    stream = io.BytesIO(bert_folder.tarred(bert_folder.files(), "w"))
    with tarfile.open(fileobj=stream, mode="a") as archive:
        member = tarfile.TarInfo("model.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"hello", "neither a ZIP nor a TAR"),
        (bert_folder.zipped({"notes.txt": b"x"}), "holds neither model.json nor config.json"),
        (bert_folder.zipped({**bert_folder.files(), "pytorch_model.bin": b"\x80\x04"}), "pytorch_model.bin"),
        (
            bert_folder.zipped({k: v for k, v in bert_folder.files().items() if k != "model.safetensors"}),
            "has no model",
        ),
        (bert_folder.zipped({**bert_folder.files(), "config.json": b"{"}), "config.json is no JSON"),
        (bert_folder.zipped({**bert_folder.files(), "config.json": b"[" * 100_000}), "config.json is no JSON"),
        (bert_folder.zipped({**bert_folder.files(), "../config.json": b"{}"}), "leads out of the archive"),
        (bert_folder.zipped({"model.json": b"{}"}, ""), "weights.safetensors"),
        (damaged(), "cut short"),
        (bomb(), "unpacks to"),
        (link(), "which is a link"),
    ],
)
def test_what_cannot_be_a_model_fails_by_name(server: Server, content: bytes, match: str) -> None:
    done = server.take(content, name="refused")
    assert (done["status"], done["error"]["code"]) == ("failed", "invalid_model")
    assert match in done["error"]["message"]
    refused(server.client.get("/v1/models/refused"), 404, "model_not_found", "model")
    retried = server.client.post(f"/v1/jobs/{done['id']}/retry").json()
    assert (retried["kind"], retried["retry_of"]) == ("import", done["id"])


def test_an_artifact_that_was_changed_is_refused(server: Server, tiny: Any) -> None:
    stream = io.BytesIO(server.client.get("/v1/models/tiny/artifact").content)
    with tarfile.open(fileobj=stream) as archive:
        content = {name.partition("/")[2]: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    assert set(content) == {"model.json", "weights.safetensors", "golden.safetensors"}
    about = content["model.json"]
    brought = {**content, "embed.onnx": b"a program of its own"}
    assert server.take(bert_folder.tarred(brought), name="brought")["status"] == "succeeded", "it is not read"
    for changed, match in (
        ({**content, "weights.safetensors": content["weights.safetensors"][:-4] + b"\0\0\0\0"}, "sha256"),
        ({**content, "model.json": about.replace(b'"epsilon": 1e-12', b'"epsilon": 0.05')}, "golden answer"),
        ({**content, "model.json": about.replace(b'"mean"', b'"sum"')}, "sum"),
        ({**content, "model.json": about.replace(b'"format": 1', b'"format": 9')}, "format 9"),
        ({name: data for name, data in content.items() if name != "golden.safetensors"}, "golden.safetensors"),
    ):
        done = server.take(bert_folder.tarred(changed), name="changed")
        assert (done["status"], done["error"]["code"]) == ("failed", "invalid_model")
        assert match in done["error"]["message"]


def test_what_cannot_be_asked_is_refused_at_once(server: Server, other: Server) -> None:
    post = server.client.post
    refused(post("/v1/models/import", json={"file": "file-no"}), 404, "not_found", "file")
    refused(post("/v1/models/import", json={"file": "https://example.org/m.zip"}), 404, "not_found", "file")
    refused(
        post("/v1/models/import", json={"file": "file-no", "url": "https://example.org/m.zip"}),
        422,
        "unknown_key",
        "url",
    )
    refused(post("/v1/models/import", json={"file": "file-no", "name": "a/b"}), 422, "out_of_range", "name")
    refused(post("/v1/models/import", json={"path": "/etc/passwd"}), 422, "unknown_key", "path")
    refused(post("/v1/models/import", json={}), 422, "missing_key", "file")
    form = {"file": ("big.zip", b"x" * (2**20 + 1), "application/zip")}
    refused(post("/v1/models/import", files=form), 413, "too_large", None)
    form = {"file": ("m.zip", b"x", "application/zip")}
    refused(post("/v1/models/import", files=form, data={"publish": "champion"}), 400, "malformed", "publish")
    foreign = other.client.post("/v1/files", data={"purpose": "user_data"}, files=form).json()["id"]
    refused(post("/v1/models/import", json={"file": foreign}), 404, "not_found", "file")
    assert httpx.post(str(server.client.base_url) + "/v1/models/import", json={}, timeout=60).status_code == 401


def test_a_name_is_needed_where_the_archive_has_none(server: Server) -> None:
    done = server.take(bert_folder.zipped(bert_folder.files()))
    assert "give a name" in done["error"]["message"]

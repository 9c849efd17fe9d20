"""The ingest job on a real registry and a real store: a whole dataset, or a report, and nothing between."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app import queue
from app.errors import ArtifactDamaged
from app.registry import datasets, events, jobs, leases, objects
from app.registry.db import Database
from app.registry.states import Fenced
from app.registry.tables import Dataset
from app.storage import Storage, storage_at
from tests.ingest_bench import Bench, StopsAfter, idx, npy, npz
from tests.picture_archives import picture, to_tar, to_zip
from worker.ingest.run import run
from worker.progress import Stopped

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
LABELS = (np.arange(50) % 5).astype(np.uint8)
CSV = b"a,b,label\n" + b"".join(b"%d,%d,%s\n" % (n, -n, b"cat" if n % 2 else b"dog") for n in range(50))
JSONL = b"".join(b'{"a": %d, "b": %d, "label": "%s"}\n' % (n, -n, b"cat" if n % 2 else b"dog") for n in range(50))
TABLE = pa.table({"a": np.arange(50), "b": -np.arange(50), "label": ["cat", "dog"] * 25})
PICTURES = {f"{'cat' if n % 2 else 'dog'}/{n}.png": picture(n) for n in range(50)}


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.fixture
def bench(database: Database, storage: Storage, tmp_path: Path) -> Bench:
    return Bench(database, storage, tmp_path / "home")


@pytest.fixture
def local(sqlite_registry: Database, tmp_path: Path) -> Bench:
    """Where neither the database nor the store makes a difference."""
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Bench(sqlite_registry, storage, tmp_path / "home")


def test_an_ingest_makes_a_dataset_that_opens(bench: Bench) -> None:
    dataset = bench.ingest({"digits.npz": npz(images=IMAGES, labels=LABELS)})
    assert (dataset.status, dataset.modality, dataset.rows) == ("ready", "image", 50)
    assert dataset.report == {"total": 0, "faults": [], "dropped_total": 0, "dropped": [], "cut_short": False}
    opened = bench.open(dataset)
    assert opened.profile == dataset.profile
    assert opened.info["fingerprint"] == dataset.fingerprint
    assert opened.profile["splits"] == {"train": 40, "validation": 5, "test": 5}
    for split in opened.splits.values():
        rows = split.read("row", 0)
        np.testing.assert_array_equal(split.read("input", 0)[..., 0], IMAGES[rows])
        assert split.read("target", 0).tolist() == [str(label) for label in LABELS[rows]]
    job = bench.job(dataset)
    assert (job.status, job.metrics) == ("succeeded", {"rows": 50})
    with bench.database.reading() as session:
        assert [event.type for event in events.after(session, job.id, 0, 100)] == [
            "job.created",
            "job.running",
            "dataset.ready",
            "job.succeeded",
        ]


def test_a_file_with_faults_gets_a_report(bench: Bench) -> None:
    dataset = bench.create({"d.csv": CSV.replace(b"7,-7", b"7,seven").replace(b"9,-9", b"9,-9,9")})
    waiting = bench.wait_for(dataset)
    run(bench.claim(dataset))
    dataset = bench.look(dataset)
    assert (dataset.status, dataset.profile, dataset.rows) == ("failed", None, None)
    assert dataset.report is not None
    assert dataset.report["total"] == 2
    by_code = {fault["code"]: fault for fault in dataset.report["faults"]}
    assert (by_code["not_a_number"]["row"], by_code["not_a_number"]["column"]) == (8, "b")
    assert by_code["ragged_row"]["row"] == 10
    job = bench.job(dataset)
    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "invalid_data")
    assert dataset.error == job.error
    with bench.database.reading() as session:
        assert objects.held(session, dataset.id) == {}
        waited = jobs.load(session, waiting.id)
    assert waited.error is not None
    assert (waited.status, waited.error["code"]) == ("failed", "dataset_failed")
    assert dataset.error["message"] in waited.error["message"]
    assert not [key for key, _ in bench.storage.listing("datasets")]


def test_a_file_of_several_parts_is_read_as_one(bench: Bench) -> None:
    dataset = bench.ingest({"d.csv": CSV}, parts=7)
    assert (dataset.status, dataset.rows) == ("ready", 50)


def test_an_interrupted_ingest_leaves_no_half_dataset_and_runs_again(bench: Bench) -> None:
    dataset = bench.create({"d.csv": CSV})
    listens = 0
    while True:  # interrupted at every place where it listens, until it gets through
        reporter = bench.claim(dataset, StopsAfter(listens))
        try:
            run(reporter)
            break
        except Stopped:
            assert bench.look(dataset).status == "validating"
            with bench.database.session() as session:
                assert objects.held(session, dataset.id) == {}
                leases.leave(session, reporter.job_id, reporter.token)
        listens += 1
    assert listens >= 4
    assert bench.open(bench.look(dataset)).profile["rows"] == 50


def test_an_ingest_that_lost_its_lease_changes_nothing(bench: Bench) -> None:
    dataset = bench.create({"d.csv": CSV})
    stale = bench.claim(dataset)
    with bench.database.session() as session:
        leases.lose(session, stale.job_id, stale.token, {"message": "gone", "code": "worker_lost"})
    fresh = bench.claim(dataset)
    with pytest.raises(Fenced):
        run(stale)
    assert bench.look(dataset).status == "validating"
    run(fresh)
    with bench.database.reading() as session:
        held = objects.held(session, dataset.id)
    assert {part.key.split("/")[2] for parts in held.values() for part in parts} == {str(fresh.token)}


def test_jobs_that_waited_are_rung(local: Bench, valkey_url: str) -> None:
    bench = Bench(local.database, local.storage, local.settings.home, broker_url=valkey_url)
    dataset = bench.create({"d.csv": CSV})
    bench.wait_for(dataset)
    run(bench.claim(dataset))
    assert queue.waiting(valkey_url, "train") == 1


def test_equal_content_has_an_equal_fingerprint(local: Bench) -> None:
    content = {"d.csv": CSV}
    prints = [local.ingest(content).fingerprint for _ in range(2)]
    other = local.ingest(content, split={"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 1}).fingerprint
    assert prints[0] == prints[1] != other


@pytest.mark.parametrize(
    ("contents", "options", "shape"),
    [
        ({"x.npy": npy(IMAGES)}, {}, [28, 28, 1]),
        ({"x.npy": npy(IMAGES.reshape(50, -1).astype(">f8"))}, {}, [784]),
        ({"x.npy": npy(np.asfortranarray(IMAGES.reshape(50, -1)))}, {}, [784]),
        ({"x.npz": npz(x=IMAGES, y=LABELS)}, {"modality": "vectors"}, [784]),
        ({"x-idx3-ubyte.gz": gzip.compress(idx(IMAGES)), "y-idx1-ubyte": idx(LABELS)}, {"format": "idx"}, [28, 28, 1]),
        ({"d.csv": CSV}, {"columns": {"features": ["b"], "label": "label"}}, [1]),
        ({"d.tsv": CSV.replace(b",", b"\t")}, {}, [2]),
        ({"d.jsonl.gz": gzip.compress(JSONL)}, {"format": "jsonl"}, [2]),
        ({"d.parquet": parquet(TABLE)}, {}, [2]),
        ({"d.arrow": arrow(TABLE)}, {}, [2]),
        ({"d.zip": to_zip(PICTURES)}, {}, [4, 6, 1]),
        ({"d.tar.gz": gzip.compress(to_tar(PICTURES))}, {"format": "tar", "image_size": 8}, [8, 8, 1]),
    ],
)
def test_every_format(local: Bench, contents: dict[str, bytes], options: dict[str, Any], shape: list[int]) -> None:
    dataset = local.ingest(contents, **options)
    assert (dataset.status, dataset.rows) == ("ready", 50), dataset.report
    assert local.open(dataset).splits["train"].read("input", 0).shape == (40, *shape)


@pytest.mark.parametrize(
    ("contents", "options", "code", "said"),
    [
        ({"x.npz": npz(x=np.array([{}] * 5, dtype=object))}, {}, "pickled_array", "'x' holds pickled"),
        ({"x.csv": CSV + b"1,2\n"}, {}, "ragged_row", "row 51"),
        ({"x.csv": CSV + b"1,two,cat\n"}, {}, "not_a_number", "'two'"),
        ({"x.csv": CSV + b"1,nan,cat\n"}, {}, "non_finite", "NaN"),
        ({"x.csv": CSV + b"1,-inf,cat\n"}, {}, "non_finite", "-Infinity"),
        ({"x.npy": npy(IMAGES), "y.npy": npy(LABELS[:-1])}, {}, "length_mismatch", "49"),
        ({"x-idx3-ubyte": idx(IMAGES)[:-1]}, {}, "truncated", "39,215 of 39,216"),
        ({"x.csv": b""}, {}, "empty_file", "x.csv is empty"),
        ({"x.bin": b"\0\1\2\3"}, {}, "unknown_format", "x.bin"),
        ({"x.csv": CSV}, {"columns": {"label": "species"}}, "unknown_column", "'species'"),
        ({"x.csv": b"a,b\n"}, {}, "no_rows", "no rows"),
        ({"x.csv": b"a,b\n1,2\n"}, {}, "single_row", "single row"),
        ({"x.npy": npy(np.full((4, 2), 1e300))}, {}, "overflow", "1e+300"),
        ({"x.gz": gzip.compress(CSV)[:-20]}, {}, "truncated", "its gzip stream"),
        ({"x.jsonl": JSONL + b'{"a": "two"}\n'}, {}, "not_a_number", "row 51"),
        ({"x.parquet": parquet(TABLE)[:-20]}, {}, "truncated", "a Parquet file ends with"),
        ({"x.zip": to_zip(PICTURES | {"../up.png": b""})}, {}, "unsafe_path", "'../up.png'"),
        ({"x.tar": to_tar(PICTURES | {"a/text.png": b"text"})}, {}, "no_picture", "a/text.png"),
    ],
)
def test_every_fault_is_told_and_the_job_fails(
    local: Bench, contents: dict[str, bytes], options: dict[str, Any], code: str, said: str
) -> None:
    dataset = local.ingest(contents, **options)
    assert dataset.status == "failed"
    assert dataset.report is not None
    assert {fault["code"] for fault in dataset.report["faults"]} == {code}
    assert said in dataset.report["faults"][0]["message"]
    job = local.job(dataset)
    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "invalid_data")
    assert said in job.error["message"]
    assert local.ingest({"d.csv": CSV}).status == "ready"  # the next one is none the worse


def test_nothing_is_left_in_the_scratch_folder(local: Bench) -> None:
    local.ingest({"d.csv": CSV, "more.csv": CSV}, parts=3)
    assert list((local.settings.folder / "scratch").iterdir()) == []


def test_faults_are_told_before_the_end(local: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"".join(b"%d,%d,cat\n" % (n, -n) for n in range(100_000))
    dataset = local.create({"d.csv": b"a,b,label\noops,1,cat\n" + lines})
    monkeypatch.setattr("worker.ingest.run.TELL_SECONDS", 0.0)
    seen: list[tuple[str, int]] = []
    tell = datasets.tell_faults

    def told(session: Any, dataset_id: str, report: dict[str, Any]) -> None:
        tell(session, dataset_id, report)
        row = session.get_one(Dataset, dataset_id, populate_existing=True)
        seen.append((row.status, row.report["total"]))

    monkeypatch.setattr(datasets, "tell_faults", told)
    run(local.claim(dataset))
    assert seen == [("validating", 1)]
    failed = local.look(dataset)
    assert (failed.status, failed.report and failed.report["total"]) == ("failed", 1)


def test_nobody_waits_for_the_end_of_a_file_with_faults(local: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"".join(b"%d,%d,cat\n" % (n, -n) for n in range(1_000_000))
    monkeypatch.setattr("worker.ingest.run.TELL_SECONDS", 0.0)
    monkeypatch.setattr("worker.ingest.run.PATIENCE_SECONDS", 0.0)
    failed = local.ingest({"d.csv": b"a,b,label\noops,1,cat\n" + lines + b"again,1,cat\n"})
    assert failed.status == "failed"
    assert failed.report is not None
    assert (failed.report["total"], failed.report["cut_short"]) == (1, True)
    assert [fault["row"] for fault in failed.report["faults"]] == [1]


@pytest.mark.parametrize("last", [b"0,0,dog\n", b"0,o,dog\n"])
def test_an_upload_with_other_bytes_than_came_makes_no_dataset(local: Bench, last: bytes) -> None:
    dataset = local.create({"d.csv": CSV + b"0,1,dog\n"})
    with local.database.reading() as session:
        file = datasets.files(session, dataset.id)[0]
        stored = objects.held(session, file.id)["content"][0]
    local.storage.put(stored.key, CSV + last)
    with pytest.raises(ArtifactDamaged, match="other bytes"):
        run(local.claim(dataset))
    assert local.look(dataset).status == "validating"

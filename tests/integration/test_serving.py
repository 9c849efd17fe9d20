"""Caches, loading and letting go, on real registries and stores."""

import asyncio
import errno
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy.orm import Session

from app.errors import InferenceFailed, InvalidApiKey, ModelNotFound
from app.ml import artifact
from app.ml.inference.predictor import Predictor
from app.ml.operations.embed import Embed
from app.ml.runtime import onnx
from app.registry import keys, models
from app.registry.db import Database
from app.registry.tables import Version
from app.registry_cache import Name, RegistryCache, Target
from app.serving import Serving
from app.settings import MIB, Settings
from app.storage import Storage
from tests import networks
from tests.service import publish

KEY = "a-key-for-these-tests"


@pytest.fixture
def project(database: Database) -> str:
    with database.session() as session:
        keys.bootstrap(session, KEY)
        caller = keys.find(session, KEY)
    assert caller is not None
    return caller.project_id


@pytest.fixture
def serving(tmp_path: Path, database: Database, storage: Storage) -> Iterator[Serving]:
    made = Serving(Settings(home=tmp_path, model_memory_bytes=MIB), database, storage)
    made.start()
    yield made
    made.stop()


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true within 30 s")


def get(serving: Serving, project: str, reference: str) -> Predictor:
    return asyncio.run(serving.model(project, reference))


def test_a_model_is_loaded_once_for_all_who_ask(
    tmp_path: Path, database: Database, storage: Storage, project: str, serving: Serving
) -> None:
    publish(database, storage, project, "tiny", networks.write(tmp_path / "a"))

    async def crowd() -> list[Predictor]:
        gone = asyncio.create_task(serving.model(project, "tiny"))
        waiting = [asyncio.create_task(serving.model(project, name)) for name in ("tiny", "tiny:1", "tiny@default") * 5]
        await asyncio.sleep(0)
        gone.cancel()  # and the load goes on for the others
        return await asyncio.gather(*waiting)

    assert len({id(predictor) for predictor in asyncio.run(crowd())}) == 1
    with pytest.raises(ModelNotFound):
        get(serving, project, "tiny:2")
    with pytest.raises(ModelNotFound):
        get(serving, "proj-other", "tiny")


def test_a_name_is_looked_up_once_for_all_who_ask(
    tmp_path: Path,
    database: Database,
    storage: Storage,
    project: str,
    serving: Serving,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(database, storage, project, "tiny", networks.write(tmp_path / "a"))
    resolve, target = models.resolve, RegistryCache.target
    asked, came, go = list[str](), list[Name](), threading.Event()

    def slow(session: Session, project_id: str, name: str) -> Version:
        asked.append(name)
        assert go.wait(30)
        return resolve(session, project_id, name)

    def noted(self: RegistryCache, name: Name) -> Target:
        came.append(name)
        return target(self, name)

    monkeypatch.setattr(models, "resolve", slow)
    monkeypatch.setattr(RegistryCache, "target", noted)
    with ThreadPoolExecutor(16) as pool:
        for name, found in (("tiny", True), ("nobody", False)):
            for each in (asked, came):
                each.clear()
            go.clear()
            waiting = [pool.submit(get, serving, project, name) for _ in range(8)]
            until(lambda: bool(asked) and len(came) == 8)
            time.sleep(0.1)
            go.set()
            for answer in waiting:
                if found:
                    assert answer.result().reference == "tiny:1"
                else:
                    assert isinstance(answer.exception(), ModelNotFound)
            assert len(asked) < 3, "and once more where the registry changed meanwhile"


def test_a_moved_alias_and_a_revoked_key_are_noticed(
    tmp_path: Path, database: Database, storage: Storage, project: str, serving: Serving
) -> None:
    publish(database, storage, project, "tiny", networks.write(tmp_path / "a"))
    assert get(serving, project, "tiny").reference == "tiny:1"
    publish(database, storage, project, "tiny", networks.write(tmp_path / "b"))
    assert get(serving, project, "tiny").reference == "tiny:1"
    caller = serving.caller(KEY)
    assert serving.known(KEY) == caller
    with database.session() as session:
        models.set_alias(session, project, "tiny", "default", 2)
    until(lambda: get(serving, project, "tiny").reference == "tiny:2")
    revoke(database, caller)
    until(lambda: is_refused(serving))
    assert serving.known(KEY) is None


def test_a_revoked_key_is_noticed_whatever_fails_beside(
    database: Database, project: str, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that looks also tidies up, which takes a file that cannot be had where clients hold all of them."""
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(serving._trimmer, "look", fail)
    assert failed.wait(30)
    revoke(database, serving.caller(KEY))
    until(lambda: is_refused(serving))


def revoke(database: Database, caller: keys.Caller) -> None:
    with database.session() as session:
        keys.revoke(session, caller.key_id)


def is_refused(serving: Serving) -> bool:
    try:
        serving.caller(KEY)
    except InvalidApiKey:
        return True
    return False


class Gate:
    """Before the making of predictors: those that are `closed`, by their references, wait until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.closed: set[str] = set()
        self.reached: list[str] = []
        self._open = threading.Event()

        def gated(loaded: artifact.Artifact, *, reference: str, **given: Any) -> Predictor:
            self.reached.append(reference)
            if reference in self.closed:
                assert self._open.wait(60)
            return Predictor(loaded, reference=reference, **given)

        monkeypatch.setattr("app.serving.Predictor", gated)

    def close(self, reference: str) -> None:
        self.closed, self.reached = {reference}, []
        self._open.clear()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open()


ONE_OF_EACH = pytest.mark.parametrize(("database", "storage"), [("sqlite_registry", "folder")], indirect=True)


@ONE_OF_EACH
def test_a_version_takes_over_once_it_is_loaded_and_the_one_before_answers_until_then(
    tmp_path: Path, database: Database, storage: Storage, project: str, serving: Serving, gate: Gate
) -> None:
    files = networks.write(tmp_path / "a")
    publish(database, storage, project, "tiny", files)
    assert get(serving, project, "tiny").reference == "tiny:1"
    until(lambda: get(serving, project, "tiny") is serving.at_hand(project, "tiny"))  # the first look forgets all names
    for number in (2, 3):
        before, after = f"tiny:{number - 1}", f"tiny:{number}"
        gate.close(after)
        publish(database, storage, project, "tiny", files)
        with database.session() as session:
            models.set_alias(session, project, "tiny", "default", number)
        while not gate.reached:
            assert get(serving, project, "tiny").reference == before
        for _ in range(20):
            assert get(serving, project, "tiny").reference == before
        gate.open()
        while (found := get(serving, project, "tiny").reference) != after:
            assert found == before
        assert gate.reached == [after]


@ONE_OF_EACH
def test_what_was_deleted_does_not_answer_for_another_model_of_its_name(
    tmp_path: Path, database: Database, storage: Storage, project: str, serving: Serving, gate: Gate
) -> None:
    files = networks.write(tmp_path / "a")
    publish(database, storage, project, "tiny", files)
    deleted = get(serving, project, "tiny")
    gate.close("tiny:1")
    with database.session() as session:
        models.delete_model(session, project, "tiny")
    publish(database, storage, project, "tiny", files)

    def ask_until_it_loads() -> Predictor:
        while not gate.reached:
            found = get(serving, project, "tiny")
        return found

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask_until_it_loads)
        until(lambda: bool(gate.reached))
        gate.open()
        assert waiting.result(60) is not deleted


@ONE_OF_EACH
def test_loading_a_model_stalls_no_other(
    tmp_path: Path, database: Database, storage: Storage, project: str, serving: Serving, gate: Gate
) -> None:
    files = networks.write(tmp_path / "a")
    for name in ("slow", "quick", "new"):
        publish(database, storage, project, name, files)
    get(serving, project, "quick")
    gate.close("slow:1")
    request = Embed.Request.model_validate({"model": "any", "input": networks.rows(1)[0].tolist()})

    async def story() -> None:
        slow = asyncio.create_task(serving.model(project, "slow"))
        while not gate.reached:
            await asyncio.sleep(0.01)
        for name in ("quick", "new"):
            answer, _ = await (await serving.model(project, name)).answer(Embed(), request, large=False, pack=dict)
            assert answer["model"] == f"{name}:1"
        assert not slow.done()
        gate.open()
        assert (await slow).reference == "slow:1"

    asyncio.run(story())


def test_the_least_recently_used_model_goes_and_whoever_holds_it_is_answered(
    tmp_path: Path, database: Database, storage: Storage, project: str, serving: Serving
) -> None:
    files = {name: networks.write(tmp_path / name, width=784) for name in ("one", "two", "three")}
    size = artifact.load(files["one"]).size_bytes
    assert 2 * size < MIB < 3 * size, "the bound holds two of these"
    for name, written in files.items():
        publish(database, storage, project, name, written)
    one, two = get(serving, project, "one"), get(serving, project, "two")
    assert get(serving, project, "one") is one
    get(serving, project, "three")
    assert get(serving, project, "one") is one, "it was used later than the other"
    request = Embed.Request.model_validate({"model": "two", "input": networks.rows(1, 784)[0].tolist()})
    answer, _ = asyncio.run(two.answer(Embed(), request, large=False, pack=dict))
    assert answer["model"] == "two:1"
    assert get(serving, project, "two") is not two
    assert serving.metrics()["rootstock_models_loaded"] == 2


def test_a_damaged_model_is_named_and_others_are_served(
    tmp_path: Path,
    database: Database,
    storage: Storage,
    project: str,
    serving: Serving,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(database, storage, project, "tiny", networks.write(tmp_path / "a"))
    broken = networks.write(tmp_path / "b")
    publish(database, storage, project, "broken", broken)
    storage.delete([f"models/broken/{artifact.WEIGHTS}"])
    for _ in range(2):
        with pytest.raises(InferenceFailed, match="broken:1 cannot be loaded"):
            get(serving, project, "broken")
    storage.put(f"models/broken/{artifact.WEIGHTS}", broken[artifact.WEIGHTS])
    with pytest.raises(InferenceFailed, match="broken:1 cannot be loaded"):
        get(serving, project, "broken")
    assert caplog.text.count("model broken:1 cannot be loaded") == 1, "it is remembered, not loaded anew"
    monkeypatch.setattr("app.serving.BROKEN_SECONDS", 0.0)
    assert get(serving, project, "broken").reference == "broken:1"
    assert get(serving, project, "tiny").reference == "tiny:1"


@pytest.mark.skipif(torch.cuda.is_available(), reason="graphs are for processors")
def test_a_model_whose_graph_is_damaged_is_served_without_it(
    tmp_path: Path,
    database: Database,
    storage: Storage,
    project: str,
    serving: Serving,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written = networks.write(tmp_path)
    graph = tmp_path / onnx.FILE
    onnx.export(artifact.load(written), "embed", graph)
    for name in ("whole", "broken"):
        version = publish(database, storage, project, name, {**written, onnx.FILE: graph})
        with database.session() as session:
            session.get_one(Version, version.id).engine = {"name": "onnx"}
    storage.put(f"models/broken/{onnx.FILE}", b"?" * graph.stat().st_size)
    broken, whole = get(serving, project, "broken"), get(serving, project, "whole")
    assert (whole.engine.names, broken.engine.names) == (["onnx"], ["fp32"])
    assert whole.size_bytes == 2 * broken.size_bytes
    assert "torch answers for it: ArtifactDamaged" in caplog.text


def test_models_are_loaded_ahead_and_idle_ones_are_let_go(
    tmp_path: Path, database: Database, storage: Storage, project: str
) -> None:
    for name in ("kept", "idle"):
        publish(database, storage, project, name, networks.write(tmp_path / name))
    serving = Serving(
        Settings(home=tmp_path, model_idle_seconds=0.2, preload="kept@default, no-such-model"), database, storage
    )
    serving.start()
    try:
        until(lambda: serving.metrics().get("rootstock_inference_loads_total") == 1)
        assert get(serving, project, "idle").load_seconds > 0
        assert serving.metrics()["rootstock_inference_loads_total"] == 2
        until(lambda: serving.metrics()["rootstock_models_loaded"] == 1)
        loads = serving.metrics()["rootstock_inference_loads_total"]
        assert get(serving, project, "kept").reference == "kept:1"
        assert serving.metrics()["rootstock_inference_loads_total"] == loads, "it was kept"
        assert get(serving, project, "idle").reference == "idle:1", "it comes back when asked for"
    finally:
        serving.stop()

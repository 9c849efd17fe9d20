"""Name to version to local files to a loaded predictor: the models of one process. Knows no HTTP.

While the version that a name has moved to is being loaded, the one that it meant before answers: nobody waits for it.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from sqlalchemy.exc import SQLAlchemyError

from app.errors import ArtifactDamaged, InferenceFailed, ModelNotFound
from app.heap_trimming import Trimmer
from app.ml import artifact
from app.ml.inference.admission import Permits
from app.ml.inference.counters import Counters
from app.ml.inference.predictor import Predictor
from app.ml.runtime import onnx
from app.ml.tensors.device import chosen
from app.registry import keys
from app.registry.db import Database
from app.registry.keys import Caller
from app.registry_cache import Name, RegistryCache, Target
from app.settings import Settings
from app.storage import Storage

log = logging.getLogger(__name__)

LOADERS = 4
"""Models that load at once; others wait, and those that are loaded answer on."""
BROKEN_SECONDS = 30.0
"""How long it is remembered that a model could not be loaded, before it is tried again."""


class Serving:
    """The models and keys that this process has at hand."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self.permits = Permits(settings.max_waiting)
        self.counters = Counters()
        self._settings, self._database, self._storage = settings, database, storage
        self._cache = RegistryCache(database, each_look=self._tidy, forgets=self._remember)
        self._trimmer = Trimmer()
        self._lock = threading.Lock()
        self._loaded: dict[str, Predictor] = {}
        self._loading: dict[str, Future[Predictor]] = {}
        self._answered: dict[Name, Target] = {}
        """What answered to a name before the registry changed."""
        self._broken: dict[str, tuple[float, str]] = {}
        """Version to when, and why, it could not be loaded."""
        self._kept: set[str] = set()
        """Versions that stay loaded, however idle."""
        self._pool = ThreadPoolExecutor(LOADERS, thread_name_prefix="load")

    def start(self) -> None:
        """Begins to watch the registry's revision and to load what is to be loaded at once."""
        self._cache.start()
        if self._settings.preload.strip():
            self._pool.submit(self._preload)

    def stop(self) -> None:
        """Ends all threads; requests that wait are answered first."""
        self._cache.stop()
        self._pool.shutdown()
        with self._lock:
            predictors = list(self._loaded.values())
            self._loaded.clear()
        for predictor in predictors:
            predictor.close()
        for predictor in predictors:
            predictor.batcher.join(self._settings.stop_seconds)

    def known(self, secret: str) -> Caller | None:
        """Who has this key, where that takes no SQL."""
        return self._cache.caller_at_hand(secret)

    def caller(self, secret: str) -> Caller:
        """Who has this key. Raises InvalidApiKey for one that is unknown or revoked."""
        return self._cache.caller(secret)

    def at_hand(self, project_id: str, reference: str) -> Predictor | None:
        """The model of that name, where it is known and loaded."""
        target = self._cache.target_at_hand((project_id, reference))
        predictor = None if target is None else self._loaded.get(target.version_id)
        if predictor is not None:
            predictor.used_at = time.monotonic()
        return predictor

    async def model(self, project_id: str, reference: str) -> Predictor:
        """The loaded model of that name; loads it on first use, once for all who ask meanwhile.

        A name that has moved is answered by the version that it meant before until the other is loaded.
        Raises ModelNotFound, and InferenceFailed when its artifact is damaged.
        """
        ready = self.at_hand(project_id, reference)
        if ready is not None:
            return ready
        name = project_id, reference
        target = self._cache.target_at_hand(name)
        if target is None:
            target = await asyncio.to_thread(self._cache.target, name)
        with self._lock:
            loading = None if target.version_id in self._loaded else self._load_once(target)
            predictor = self._loaded.get(target.version_id if loading is None else self._before(name, target))
        if predictor is not None:
            predictor.used_at = time.monotonic()
            return predictor
        assert loading is not None
        return await asyncio.shield(asyncio.wrap_future(loading))  # a caller that leaves does not end the others' load

    def _load_once(self, target: Target) -> Future[Predictor]:
        """The load that is under way, or begins. Raises InferenceFailed for what failed lately. The lock is held."""
        loading = self._loading.get(target.version_id)
        if loading is None:
            since, why = self._broken.get(target.version_id, (-math.inf, ""))
            if time.monotonic() < since + BROKEN_SECONDS:
                raise InferenceFailed(why, param="model")
            loading = self._loading[target.version_id] = self._pool.submit(self._load, target)
        return loading

    def _before(self, name: Name, target: Target) -> str:
        """The version that answered to the name before; empty where there is none or it is of another model."""
        before = self._answered.get(name)
        return before.version_id if before is not None and before.model_id == target.model_id else ""

    def _remember(self, names: dict[Name, Target]) -> None:
        """Keeps what answers to `names`, which are about to be forgotten."""
        with self._lock:
            answering = {name: target for name, target in names.items() if target.version_id in self._loaded}
            former = {name: target for name, target in self._answered.items() if target.version_id in self._loaded}
            self._answered = former | answering

    def metrics(self) -> dict[str, float]:
        """Counters and gauges of this process, by their Prometheus names."""
        with self._lock:
            batchers = [predictor.batcher for predictor in self._loaded.values()]
        gauges = {
            "rootstock_inference_waiting": self.permits.taken,
            "rootstock_inference_refused_total": self.permits.refused,
            "rootstock_inference_queue_length": sum(batcher.waiting for batcher in batchers),
            "rootstock_models_loaded": len(batchers),
        }
        return gauges | {f"rootstock_inference_{name}": value for name, value in self.counters.read().items()}

    def _preload(self) -> None:
        """Loads, one after the other, what the settings name, in every project that has it."""
        try:
            with self._database.reading() as session:
                projects = {key.project_id for key in keys.all(session)}
        except SQLAlchemyError as error:
            log.warning("nothing is preloaded, the registry does not answer: %s", error)
            return
        for reference in filter(None, map(str.strip, self._settings.preload.split(","))):
            found = 0
            for project_id in projects:
                with contextlib.suppress(ModelNotFound):
                    target = self._cache.target((project_id, reference))
                    self._kept.add(target.version_id)
                    found += 1
                    with contextlib.suppress(InferenceFailed):  # which has been logged
                        asyncio.run(self.model(project_id, reference))
            if not found:
                log.warning("%r is to be preloaded, and no project has a model of that name", reference)

    def _load(self, target: Target) -> Predictor:
        began = time.monotonic()
        try:
            files = {name: self._storage.local(item) for name, item in artifact.own(target.objects).items()}
            graph = target.objects.get(onnx.FILE)
            predictor = Predictor(
                artifact.load(files),
                reference=target.reference,
                max_inputs=self._settings.max_inputs,
                counters=self.counters,
                device=chosen(self._settings.device),
                engine=target.engine,
                graph=None if graph is None else partial(self._storage.local, graph),
            )
        except ArtifactDamaged as error:
            log.error("model %s cannot be loaded: %s", target.reference, error)
            why = f"model {target.reference} cannot be loaded, its artifact is damaged: {error.message}"
            with self._lock:
                self._broken[target.version_id] = time.monotonic(), why
            raise InferenceFailed(why, param="model") from error
        except torch.OutOfMemoryError as error:
            log.error("model %s cannot be loaded: %s", target.reference, error)
            why = f"model {target.reference} cannot be loaded, the memory of the GPU does not suffice: ask again later"
            raise InferenceFailed(why, param="model") from error
        except Exception:
            log.exception("model %s cannot be loaded", target.reference)  # perhaps nobody waits to hear of it
            raise
        else:
            predictor.load_seconds = time.monotonic() - began
            log.info("model %s loaded in %.2f s", target.reference, predictor.load_seconds)
            self.counters.add(loads_total=1, load_seconds_total=predictor.load_seconds)
            self._keep(target.version_id, predictor)
            return predictor
        finally:
            with self._lock:
                del self._loading[target.version_id]

    def _keep(self, version_id: str, predictor: Predictor) -> None:
        """Adds a model and lets go of those used least recently, until their weights fit the bound."""
        with self._lock:
            self._broken.pop(version_id, None)
            self._loaded[version_id] = predictor
            total = sum(loaded.size_bytes for loaded in self._loaded.values())
            while total > self._settings.model_memory_bytes and len(self._loaded) > 1:
                others = [(loaded.used_at, identity) for identity, loaded in self._loaded.items()]
                oldest = self._loaded.pop(min(other for other in others if other[1] != version_id)[1])
                total -= oldest.size_bytes
                oldest.close()  # who still holds it is answered; its memory goes with the last of them

    def _tidy(self) -> None:
        """Lets go of what nobody uses: models, and memory that was freed."""
        self._let_go_idle()
        self._trimmer.look()

    def _let_go_idle(self) -> None:
        """Closes the models that nobody has asked for long."""
        last = time.monotonic() - self._settings.model_idle_seconds
        with self._lock:
            idle = [key for key, each in self._loaded.items() if each.used_at < last and key not in self._kept]
            predictors = [self._loaded.pop(key) for key in idle]
        for predictor in predictors:
            log.info("model %s is let go: idle", predictor.reference)
            predictor.close()

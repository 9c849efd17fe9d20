"""What one process knows of keys and names, so that a hot request touches no SQL. Knows no weights.

A thread reads the registry's revision and forgets everything when anything has changed in any process.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.errors import InvalidApiKey, ModelNotFound
from app.registry import keys, models, objects
from app.registry.db import Database, refusal
from app.registry.keys import Caller
from app.registry.tables import StoredObject

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
MOST_NAMES = 10_000
LONGEST_REFERENCE = 200

Name = tuple[str, str]
"""Project and reference."""


@dataclass(frozen=True)
class Target:
    """What a name means until the registry changes."""

    model_id: str
    version_id: str
    reference: str
    objects: dict[str, StoredObject]
    engine: dict[str, Any]


class RegistryCache:
    """The keys and names of one process; safe to share between threads."""

    def __init__(
        self, database: Database, *, each_look: Callable[[], None], forgets: Callable[[dict[Name, Target]], None]
    ) -> None:
        """`each_look` is called whenever the thread has waited, and `forgets` with the names before they are."""
        self._database, self._each_look, self._forgets = database, each_look, forgets
        self._callers: dict[str, Caller] = {}
        self._names: dict[Name, Target] = {}
        self._looking: dict[Name, Future[Target]] = {}
        """Names that are being looked up."""
        self._revision: int | None = None
        """Of the registry, when it was last looked at."""
        self._generation = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="revision", daemon=True)

    def start(self) -> None:
        self._watcher.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._watcher.ident is not None:
            self._watcher.join()

    def caller_at_hand(self, secret: str) -> Caller | None:
        """Who has this key, where that takes no SQL."""
        return self._callers.get(secret)

    def caller(self, secret: str) -> Caller:
        """Who has this key. Raises InvalidApiKey for one that is unknown or revoked."""
        known = self._callers.get(secret)
        if known is not None:
            return known
        generation = self._generation
        with self._database.reading() as session:
            found = keys.find(session, secret)
        if found is None:
            raise InvalidApiKey(
                "the API key is unknown or has been revoked; `rootstock keys list` shows those that are not"
            )
        with self._lock:
            if generation == self._generation:  # else it may have been read before the change that emptied the cache
                self._callers[secret] = found
        return found

    def target_at_hand(self, name: Name) -> Target | None:
        """What the name means, where that takes no SQL."""
        return self._names.get(name)

    def target(self, name: Name) -> Target:
        """What the name means. Raises ModelNotFound."""
        reference = name[1]
        if len(reference) > LONGEST_REFERENCE or not reference.isprintable():  # PostgreSQL takes no U+0000
            raise ModelNotFound(f"no model is named {reference[:LONGEST_REFERENCE]!r}", param="model")
        with self._lock:
            known, looking = self._names.get(name), self._looking.get(name)
            if known is not None:
                return known
            first = looking is None
            if looking is None:
                looking = self._looking[name] = Future()
        if first:
            self._look(name, looking)
        return looking.result()

    def _look(self, name: Name, looking: "Future[Target]") -> None:
        """Asks the registry once for all who want to know meanwhile."""
        generation = self._generation
        try:
            with self._database.reading() as session:
                version = models.resolve(session, *name)
                held = {key: parts[0] for key, parts in objects.held(session, version.id).items()}
                target = Target(version.model_id, version.id, models.reference(version), held, version.engine)
        except BaseException as error:
            looking.set_exception(error)
        else:
            looking.set_result(target)
        with self._lock:
            if self._looking.get(name) is looking:
                del self._looking[name]
            if generation == self._generation and looking.exception() is None:
                if len(self._names) >= MOST_NAMES:
                    self._names.clear()
                self._names[name] = looking.result()

    def _watch(self) -> None:
        told = ""
        while not self._stopped.wait(WATCH_SECONDS):
            problem = ""
            for look in (self._follow, self._each_look):
                try:
                    look()
                except SQLAlchemyError as error:
                    problem = refusal(error) or str(error)
                except Exception:
                    log.exception("a look failed; the next one comes in %g s", WATCH_SECONDS)
            if problem not in ("", told):
                log.warning("names and keys stay as they were: %s", problem)
            told = problem

    def _follow(self) -> None:
        """Forgets everything when the registry has changed."""
        with self._database.reading() as session:
            revision = keys.revision(session)
        if revision != self._revision:
            with self._lock:
                self._forgets(self._names)
                self._generation += 1
                self._callers.clear()
                self._names.clear()
                self._looking.clear()  # who asks from now on must not hear what was read before the change
            self._revision = revision

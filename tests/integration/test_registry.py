"""What the registry promises on either database: many writers at once, one clock, walls between projects."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.registry import datasets, events, files, idempotency, jobs, keys, models, objects
from app.registry.db import Database
from app.registry.tables import CreateRequest, File, Job, StoredObject
from tests import rows
from tests.crowd import at_once


def test_ten_equal_posts_at_once_make_one_job(database: Database) -> None:
    with database.session() as session:
        caller = rows.caller(session)

    def post(_: int) -> str:
        with database.session() as session:
            first = idempotency.replay(session, caller, "POST /v1/jobs", "k", "body", None)
            if first is not None:
                return str(first.response["id"])
            made = rows.job(session, caller.project_id)
            idempotency.remember(session, caller, "POST /v1/jobs", "k", "body", None, 202, {"id": made.id})
            return made.id

    [answer] = set(at_once(10, post))
    with database.reading() as session:
        assert session.scalars(sa.select(Job.id)).all() == [answer]
        assert session.scalars(sa.select(CreateRequest.response)).all() == [{"id": answer}]


def test_event_numbers_have_no_gaps_and_a_reader_who_follows_misses_none(database: Database) -> None:
    with database.session() as session:
        job = rows.job(session, rows.project(session))
    writers, each = 6, 8
    total = writers * each + 1

    def write_or_follow(index: int) -> list[int]:
        seen: list[int] = []
        if index < writers:
            for turn in range(each):
                with database.session() as session:
                    events.add(session, job.id, type="message", message=f"{index}.{turn}")
            return seen
        while len(seen) < total:
            with database.reading() as session:
                seen += [event.number for event in events.after(session, job.id, seen[-1] if seen else 0, 100)]
        return seen

    *_, followed = at_once(writers + 1, write_or_follow)
    assert followed == list(range(1, total + 1))


def test_versions_published_at_once_are_numbered_without_gaps(database: Database) -> None:
    with database.session() as session:
        project_id = rows.project(session)

    def publish(_: int) -> int:
        with database.session() as session:
            return rows.version(session, project_id, aliases=["newest"]).number

    assert sorted(at_once(6, publish)) == [1, 2, 3, 4, 5, 6]
    with database.reading() as session:
        model = models.get(session, project_id, "digits")
        assert set(models.aliases(session, model.id)) == {"default", "newest"}
        first = models.resolve(session, project_id, "digits:1")
        assert first.metrics == {"mse": 0.02, "baselines": {"pca": None}}, "no NaN, which PostgreSQL would refuse"


def test_processes_that_start_at_once_draw_one_key(database: Database) -> None:
    def start(_: int) -> str | None:
        with database.session() as session:
            return keys.bootstrap(session)

    [secret] = [drawn for drawn in at_once(6, start) if drawn is not None]
    with database.reading() as session:
        assert keys.find(session, secret) is not None
        assert len(keys.all(session)) == 1


def test_another_projects_ids_do_not_exist(database: Database) -> None:
    with database.session() as session:
        mine, other = rows.project(session), rows.project(session, "other")
        dataset, file = rows.dataset(session, mine), rows.file(session, mine)
        job, failed = rows.job(session, mine), rows.job(session, mine, "failed")
        rows.version(session, mine)

    forbidden: list[Callable[[Session], object]] = [
        lambda session: files.get(session, other, file.id),
        lambda session: files.delete(session, other, file.id),
        lambda session: datasets.get(session, other, dataset.id),
        lambda session: datasets.delete(session, other, dataset.id),
        lambda session: jobs.get(session, other, job.id),
        lambda session: jobs.ask(session, other, job.id, "cancel"),
        lambda session: jobs.ask(session, other, job.id, "pause"),
        lambda session: jobs.resume(session, other, job.id),
        lambda session: jobs.retry(session, other, failed.id),
        lambda session: rows.job(session, other, datasets=[dataset]),
        lambda session: models.get(session, other, "digits"),
        lambda session: models.resolve(session, other, "digits:1"),
        lambda session: models.set_alias(session, other, "digits", "mine", 1),
        lambda session: models.delete_alias(session, other, "digits", "default"),
        lambda session: models.patch(session, other, "digits", description="mine"),
        lambda session: models.delete_version(session, other, "digits", 1),
        lambda session: models.delete_model(session, other, "digits"),
    ]
    for verb in forbidden:
        with pytest.raises(NotFound) as caught, database.session() as session:
            verb(session)
        assert caught.value.status == 404
    with database.reading() as session:
        for listing in (files, datasets, jobs, models):
            page = listing.list_page(session, other, limit=10, after=None, descending=True)
            assert page.rows == []
        assert jobs.get(session, mine, job.id).status == "queued"
        assert models.resolve(session, mine, "digits").number == 1


@pytest.mark.parametrize("descending", [True, False])
def test_pages_and_filters_agree_on_every_database(database: Database, descending: bool) -> None:
    with database.session() as session:
        project_id = rows.project(session)
        red = [rows.job(session, project_id, metadata={"colour": "red"}).id for _ in range(5)]
        rows.job(session, project_id, metadata={"colour": "blue"})
    seen: list[str] = []
    more = True
    with database.reading() as session:
        while more:
            after = seen[-1] if seen else None
            page = jobs.list_page(
                session, project_id, limit=2, after=after, descending=descending, metadata={"colour": "red"}
            )
            seen += [job.id for job in page.rows]
            more = page.has_more
    assert seen == sorted(red, reverse=descending)


def test_an_object_that_is_linked_while_the_sweep_looks_stays(database: Database) -> None:
    kept, gone = rows.stored(), rows.stored()
    with database.session() as session:
        objects.hold(session, "file-1", {"content": [kept, gone]})
        objects.release(session, "file-1")
        listed = objects.orphans(session, 0)
    assert set(listed) == {kept.key, gone.key}
    with database.session() as session:
        objects.hold(session, "file-2", {"content": kept})
    with database.session() as session:
        assert objects.forget(session, listed) == [gone.key]


def test_equal_files_that_come_at_once_are_held_once(database: Database) -> None:
    with database.session() as session:
        project_id = rows.project(session)

    def come(_: int) -> str:
        with database.session() as session:
            file = equal_file(session, project_id)
            return objects.held(session, file.id)["content"][0].key

    [key] = set(at_once(6, come))
    with database.reading() as session:
        assert session.scalars(sa.select(StoredObject.key)).all() == [key]


def test_a_file_never_holds_what_the_sweep_takes(database: Database) -> None:
    with database.session() as session:
        project_id = rows.project(session)
        old = equal_file(session, project_id).id
    for _ in range(8):

        def come_or_go(index: int, old: str = old) -> list[str]:
            with database.session() as session:
                if index == 0:
                    return [equal_file(session, project_id).id]
                if index == 1:
                    files.delete(session, project_id, old)
                    return []
                return objects.forget(session, objects.orphans(session, -1))

        [[new], _, *gone] = at_once(4, come_or_go)
        with database.reading() as session:
            [part] = objects.held(session, new)["content"]
        assert part.key not in [key for keys in gone for key in keys]
        old = new


def equal_file(session: Session, project_id: str) -> File:
    part = rows.stored(b"the same")
    return files.create(
        session,
        project_id=project_id,
        filename="a.csv",
        purpose="pretrain",
        objects=[part],
        sha256=part.sha256,
        size_bytes=part.size_bytes,
        there=lambda _: True,
    )


def test_a_failed_verb_leaves_nothing_behind(database: Database) -> None:
    with database.session() as session:
        project_id = rows.project(session)

    def half_a_story() -> None:
        with database.session() as session:
            rows.file(session, project_id)
            datasets.get(session, project_id, "ds-unknown")

    with pytest.raises(NotFound, match="ds-unknown"):
        half_a_story()
    with database.reading() as session:
        assert files.list_page(session, project_id, limit=9, after=None, descending=True).rows == []
        assert session.scalars(sa.select(StoredObject)).all() == []

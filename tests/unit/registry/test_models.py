import pytest
from sqlalchemy.orm import Session

from app.errors import InUse, ModelNotFound, OutOfRange
from app.registry import checkpoints, jobs, models, objects
from tests import rows


def test_a_bare_name_keeps_its_version_until_told_otherwise(session: Session, project_id: str) -> None:
    first = rows.version(session, project_id)
    second = rows.version(session, project_id, aliases=["champion"])
    assert [models.reference(one) for one in (first, second)] == ["digits:1", "digits:2"]
    assert models.resolve(session, project_id, "digits") is first
    assert models.resolve(session, project_id, "digits:2") is second
    assert models.resolve(session, project_id, "digits@champion") is second
    assert models.aliases(session, first.model_id) == {"champion": 2, "default": 1}
    assert models.set_alias(session, project_id, "digits", "default", 2) is second
    assert models.resolve(session, project_id, "digits") is second
    assert models.versions(session, first.model_id) == [second, first]


def test_a_version_keeps_what_made_it(session: Session, project_id: str) -> None:
    version = rows.version(session, project_id)
    assert version.metrics == {"mse": 0.02, "baselines": {"pca": None}}
    assert version.size_bytes == len(b"{}") + len(b"weights")
    assert set(objects.held(session, version.id)) == {"model.json", "weights.safetensors"}


def test_a_model_that_is_still_being_made_is_told_its_job(session: Session, project_id: str) -> None:
    rows.version(session, project_id)
    for status, said in [("queued", "is queued"), ("paused", "is paused"), ("failed", "the models are 'digits'")]:
        job = rows.job(session, project_id, status)
        job.request = job.request | {"name": f"zebra-{status}"}
        session.flush()
        with pytest.raises(ModelNotFound, match=said) as caught:
            models.resolve(session, project_id, f"zebra-{status}")
        assert (job.id in str(caught.value)) == (status != "failed")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("digitz", "did you mean 'digits'"),
        ("job-1:ckpt-step-50", "is a checkpoint and no model yet; publish it by POST /v1/jobs/job-1/checkpoints/"),
        ("zzzzzz", "the models are 'digits'$"),
        ("digits:7", "has no version '7'; it has 1"),
        ("digits:", "has no version ''; it has 1"),
        ("digits:²", "has no version '²'"),
        ("digits:99999999999999999999", "has no version"),
        ("digits@best", "has no alias 'best'; it has default"),
        ("", "no model ''"),
    ],
)
def test_an_unknown_reference_is_told_what_there_is(
    session: Session, project_id: str, reference: str, message: str
) -> None:
    rows.version(session, project_id)
    with pytest.raises(ModelNotFound, match=message):
        models.resolve(session, project_id, reference)


@pytest.mark.parametrize("name", ["", "-x", "a b", "a:1", "a@b", "a" * 64, "a\n"])
def test_a_name_that_would_be_ambiguous_is_refused(session: Session, project_id: str, name: str) -> None:
    with pytest.raises(OutOfRange, match="cannot be a name"):
        rows.version(session, project_id, name)
    rows.version(session, project_id)
    with pytest.raises(OutOfRange, match="cannot be a name"):
        models.set_alias(session, project_id, "digits", name, 1)


def test_an_alias_goes_and_the_default_stays(session: Session, project_id: str) -> None:
    rows.version(session, project_id, aliases=["champion"])
    with pytest.raises(InUse, match="'default'"):
        models.delete_alias(session, project_id, "digits", "default")
    models.delete_alias(session, project_id, "digits", "champion")
    with pytest.raises(ModelNotFound):
        models.delete_alias(session, project_id, "digits", "champion")
    with pytest.raises(ModelNotFound):
        models.set_alias(session, project_id, "digits", "champion", 2)


def test_a_version_goes_when_no_alias_child_or_job_needs_it(session: Session, project_id: str) -> None:
    first = rows.version(session, project_id)
    second = rows.version(session, project_id)
    child = rows.version(session, project_id, "graft", parent_id=second.id)
    job = rows.job(session, project_id, base_version_id=second.id)
    with pytest.raises(InUse, match="alias 'default'"):
        models.delete_version(session, project_id, "digits", 1)
    with pytest.raises(InUse, match="graft:1 descends from digits:2; delete graft:1 first"):
        models.delete_version(session, project_id, "digits", 2)
    models.delete_version(session, project_id, "graft", 1)
    with pytest.raises(ModelNotFound):
        models.get(session, project_id, "graft")
    with pytest.raises(InUse, match=f"{job.id} starts from digits:2"):
        models.delete_version(session, project_id, "digits", 2)
    jobs.ask(session, project_id, job.id, "cancel")
    models.delete_version(session, project_id, "digits", 2)
    assert models.versions(session, first.model_id) == [first]
    assert objects.held(session, second.id) == objects.held(session, child.id) == {}
    assert rows.version(session, project_id).number == 3, "a number is never given again"


def test_a_model_goes_with_all_its_versions(session: Session, project_id: str) -> None:
    first = rows.version(session, project_id, aliases=["champion"])
    rows.version(session, project_id, parent_id=first.id)
    with pytest.raises(InUse, match="'champion'"):
        models.delete_model(session, project_id, "digits")
    models.delete_alias(session, project_id, "digits", "champion")
    child = rows.version(session, project_id, "graft", parent_id=first.id)
    with pytest.raises(InUse, match="graft:1 descends from digits:1"):
        models.delete_model(session, project_id, "digits")
    models.delete_model(session, project_id, child.model.name)
    models.delete_model(session, project_id, "digits")
    assert models.all(session, project_id) == []


def test_the_lineage_leads_from_data_to_children(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id, "running")
    added = checkpoints.add(session, job.id, job.token, step=5, metrics={}, objects={"state": rows.stored()})
    root = rows.version(session, project_id, "root")
    trunk = rows.version(session, project_id, "trunk", parent_id=root.id, job_id=job.id)
    rows.version(session, project_id, "leaf", parent_id=trunk.id)
    lineage = models.lineage(session, trunk)
    assert (lineage["version"], lineage["parents"], lineage["children"]) == ("trunk:1", ["root:1"], ["leaf:1"])
    assert (lineage["seed"], lineage["job"]) == (7, job.id)
    assert [row["id"] for row in lineage["checkpoints"]] == [added.id]
    assert lineage["datasets"][0]["fingerprint"] == "f" * 64


def test_models_are_listed_and_patched_by_name(session: Session, project_id: str) -> None:
    for name in ("c", "a", "b"):
        rows.version(session, project_id, name)
    assert [model.name for model in models.all(session, project_id)] == ["a", "b", "c"]
    seen: list[str] = []
    while True:
        after = seen[-1] if seen else None
        page = models.list_page(session, project_id, limit=1, after=after, descending=False)
        seen += [model.name for model in page.rows]
        if not page.has_more:
            break
    assert sorted(seen) == ["a", "b", "c"]
    patched = models.patch(session, project_id, "a", description="first", metadata={"k": "v"})
    assert models.patch(session, project_id, "a") is patched
    assert (patched.description, patched.metadata_) == ("first", {"k": "v"})

"""What the container files say is consistent with each other and with the settings."""

import json
import re
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.containers import ROOT, read_compose, read_dockerfile, read_environment_example, substituted

OURS = {"api": ["api"], "worker-train": ["worker", "train"], "worker-data": ["worker", "data"], "migrate": ["migrate"]}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    return read_dockerfile()


def test_services_run_the_commands_of_one_image(compose: dict[str, Any], dockerfile: list[tuple[str, str]]) -> None:
    for name, command in OURS.items():
        assert compose[name]["command"] == command
        assert compose[name]["image"] == compose["api"]["image"]
    assert compose["worker-train-gpu"]["command"] == OURS["worker-train"]
    assert compose["worker-train-gpu"]["profiles"] == ["gpu"]
    said = dict(dockerfile)
    assert json.loads(said["ENTRYPOINT"]) == ["rootstock"]
    assert json.loads(said["CMD"]) == OURS["api"]


def test_image_runs_as_a_plain_user(dockerfile: list[tuple[str, str]]) -> None:
    said = dict(dockerfile)
    assert said["USER"] not in ("root", "0")
    made = [rest for word, rest in dockerfile if word == "RUN" and rest.startswith("useradd ")]
    assert made
    assert made[0].endswith(f" {said['USER']}")


def test_image_contains_what_it_is_built_from() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    names = {name for line in copied for name in line.split()}
    assert names == allowed
    assert all((ROOT / name).exists() for name in names)


def test_workers_may_save_a_checkpoint_before_they_are_killed(compose: dict[str, Any]) -> None:
    for name in ("worker-train", "worker-data", "worker-train-gpu"):
        grace = int(compose[name]["stop_grace_period"].removesuffix("s"))
        assert grace > Settings.model_fields["stop_seconds"].default


def test_everything_is_watched_and_kept(compose: dict[str, Any]) -> None:
    for name in ("api", "postgres", "valkey", "storage"):
        assert "test" in compose[name]["healthcheck"], f"{name} has no health check"
    for name in ("postgres", "storage"):
        assert compose[name]["volumes"], f"{name} would forget everything"
    for name, service in compose.items():
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "test" in compose[other]["healthcheck"], f"{name} waits for {other}, whose health nobody checks"


def test_the_broker_needs_no_disk(compose: dict[str, Any]) -> None:
    command = compose["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert (options["--appendonly"], options["--save"]) == ("no", "")
    assert "volumes" not in compose["valkey"]


def test_every_part_of_ours_gets_what_an_operator_adds(compose: dict[str, Any]) -> None:
    added = [{"path": "rootstock.env", "required": False}]
    assert {name for name, service in compose.items() if service.get("env_file") == added} == {
        *OURS,
        "worker-train-gpu",
    }


def test_only_known_variables_and_no_secret_of_its_own(compose: dict[str, Any]) -> None:
    known = {f"ROOTSTOCK_{name.upper()}" for name in Settings.model_fields}
    used = {name for part in OURS for name in compose[part]["environment"] if name.startswith("ROOTSTOCK_")}
    assert used <= known
    assert set(re.findall(r"(ROOTSTOCK_\w+)=", (ROOT / "Dockerfile").read_text())) <= known
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == set(read_environment_example())
    with pytest.raises(AssertionError, match="POSTGRES_PASSWORD"):
        substituted(yaml.safe_load(text), {})

"""The demo for real, on fewer digits, with one draw and fewer epochs: what it writes, and that nothing of it stays."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.servers import PATIENCE, wait_until

SMALL = """
import sys
from pathlib import Path
from app.demo import story
try:
    story.run(Path(sys.argv[1]), per_class=60, draws=1, training={"epochs": 3})
except KeyboardInterrupt:
    sys.exit(130)
"""
REPORT = {
    "models": {name: {"mse", "knn_accuracy"} for name in ("reference", "default", "pca")},
    "few_labels": {
        "labels",
        "draws",
        "fine_tuned_accuracy",
        "fine_tuned_accuracies",
        "from_scratch_accuracy",
        "from_scratch_accuracies",
    },
}


def start(folder: Path) -> subprocess.Popen[str]:
    """The small demo, whose temporary files and output lie in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-c", SMALL, str(folder / "output")],
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes(folder: Path) -> list[str]:
    """Command lines of all processes that name `folder`, in their arguments or their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except (OSError, PermissionError):
            continue
        if str(folder).encode() in command + environment:
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_small_demo_writes_pictures_and_report_and_leaves_nothing(tmp_path: Path) -> None:
    demo = start(tmp_path)
    printed, _ = demo.communicate()
    assert demo.returncode == 0, printed
    assert processes(tmp_path) == []
    assert list(tmp_path.glob("rootstock-*")) == [], "temporary folders are left"

    report = json.loads((tmp_path / "output" / "report.json").read_text())
    assert set(report) == {"models", "few_labels", "seconds"}
    assert {name: set(score) for name, score in report["models"].items()} == REPORT["models"]
    assert set(report["few_labels"]) == REPORT["few_labels"]
    few = report["few_labels"]
    assert (few["labels"], few["draws"]) == (100, 1)
    assert [len(few[f"{name}_accuracies"]) for name in ("fine_tuned", "from_scratch")] == [1, 1]
    for score in report["models"].values():
        assert 0 < score["mse"] < 0.2
        assert 0.1 < score["knn_accuracy"] <= 1
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    for name in ("reconstructions.png", "embeddings.png"):
        with Image.open(tmp_path / "output" / name) as picture:
            assert min(picture.size) > 300
    assert "pretrain default" in printed
    assert "100.0 %" in printed


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_no_process(tmp_path: Path, sent: signal.Signals) -> None:
    demo = start(tmp_path)
    try:
        wait_until(lambda: any("celery" in command for command in processes(tmp_path)), "the demo's worker")
        demo.send_signal(sent)
        printed, _ = demo.communicate(timeout=PATIENCE)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 130, printed
    assert processes(tmp_path) == []
    assert list(tmp_path.glob("rootstock-*")) == [], "temporary folders are left"
    assert not (tmp_path / "output").exists(), "an unfinished demo wrote results"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    with start(tmp_path) as demo:
        wait_until(lambda: any("celery" in command for command in processes(tmp_path)), "the demo's worker")
        demo.kill()
    wait_until(lambda: processes(tmp_path) == [], "the end of what the demo started")

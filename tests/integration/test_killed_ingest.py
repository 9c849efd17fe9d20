"""A job's process killed with SIGKILL in the middle of an ingest: no half dataset is seen, and it starts over."""

import contextlib
import os
import signal
from pathlib import Path

from app.registry import leases, objects
from app.settings import Settings
from tests import servers
from tests.ingest_bench import Bench
from tests.integration.api.conftest import serve
from tests.integration.api.faults import refused

ROWS = 300_000
CONTENT = b"a,b,c,d\n" + b"".join(b"%d,%d,0.5,%d.25\n" % (n, n % 7, n % 11) for n in range(ROWS))


def has_written(pid: int, scratch: Path) -> bool:
    """Whether the process holds a temporary file that is not empty; they have no name but here."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(descriptor).startswith(str(scratch)) and descriptor.stat().st_size:
                return True
    return False


def test_an_ingest_whose_process_is_killed_starts_over(tmp_path: Path) -> None:
    with serve(Settings(home=tmp_path, sweep_seconds=3600)) as house:
        bench = Bench(house.database, house.storage, tmp_path)
        dataset = bench.create({"d.csv": CONTENT}, profile="basic")
        with bench.process() as process, house.client(house.key(bench.project_id, "read")) as client:
            bench.order(process, dataset, -1)
            servers.wait_until(lambda: has_written(process.pid, bench.settings.folder / "scratch"), "ingest", process)
            process.kill()
            assert process.wait() == -signal.SIGKILL

            assert client.get(f"/v1/datasets/{dataset.id}").json()["status"] == "validating"
            refused(client.get(f"/v1/datasets/{dataset.id}/profile"), 409, "wrong_state")
            with house.database.reading() as session:
                assert objects.held(session, dataset.id) == {}

        with house.database.session() as session:
            assert [job.status for job in leases.expire(session)] == ["queued"]
        with bench.process() as process:
            bench.order(process, dataset, 600.0)
            assert process.wait(servers.PATIENCE) == 0
        ready = bench.look(dataset)
        assert (ready.status, ready.rows) == ("ready", ROWS)
        assert sum(split.rows for split in bench.open(ready).splits.values()) == ROWS

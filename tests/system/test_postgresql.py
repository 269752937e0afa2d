"""A whole cluster whose store is PostgreSQL."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.system.conftest import CLUSTER, running_cluster

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import postgresql

sys.path.pop(0)


@pytest.fixture(scope="module")
def url():
    try:
        with postgresql.running() as one:
            yield one
    except postgresql.Missing as problem:
        pytest.skip(str(problem))


def test_jobs_and_their_accounting_survive_a_killed_controller(url, folder):
    with running_cluster(CLUSTER + f'Store: "{url}"\n') as cluster:
        done = cluster.wrap("echo done", "-o", folder / "%j", "-J", "first")
        cluster.ended(done)
        going = cluster.wrap(f"while [ ! -e {folder}/go ]; do sleep 0.1; done", "-o", "/dev/null", "-J", "second")
        waiting = cluster.wrap("true", "-d", f"afterok:{going}", "-o", "/dev/null", "-J", "third")
        cluster.becomes(going, "RUNNING")
        cluster.kill("controller")
        cluster.start()
        (folder / "go").touch()
        found = cluster.ended(done, going, waiting)
        assert {state for state, _ in found.values()} == {"COMPLETED"}
        assert (folder / done).read_text() == "done\n"
        by_name = cluster.run("sacct", "-nXP", "-a", "-o", "jobid", "--name", "second,third", "-S", "now-1hour")
        assert by_name.out.split() == [going, waiting]
        assert cluster.run("sreport", "-nP", "cluster", "utilization", "start=now", "end=now").code == 0

"""The whole way through a real Armada control plane, where one is at hand.

`SLURM_COMPAT_TEST_ARMADA` names its gRPC address, `SLURM_COMPAT_TEST_ARMADA_NODES` (a host list) four or more nodes
of at least 2 CPUs and 512 MiB that carry the label `slurm-compat/partition-compute: "true"`, tracked by the executor.
Its pods must run the agent where they reach this machine's loopback: an executor that starts them as processes will do.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Cluster, running_cluster, until

ADDRESS = os.environ.get("SLURM_COMPAT_TEST_ARMADA", "")
NODES = os.environ.get("SLURM_COMPAT_TEST_ARMADA_NODES", "")

pytestmark = pytest.mark.skipif(
    not (ADDRESS and NODES), reason="SLURM_COMPAT_TEST_ARMADA and SLURM_COMPAT_TEST_ARMADA_NODES name no Armada"
)

FILE = """\
ClusterName: live{port}
FirstJobId: 1
KillWait: 2
DefMemPerCPU: 64
MailProg: /bin/true
Nodes: [{{NodeName: "{nodes}", CPUs: 2, RealMemory: 512}}]
Partitions: [{{PartitionName: compute, Nodes: ALL, Default: true}}]
Armada: {{Address: "{address}", ControllerAddress: "127.0.0.1:{port}", Queue: "live-{port}"}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def live() -> Iterator[Cluster]:
    with running_cluster(FILE.format(port=free_port(), nodes=NODES, address=ADDRESS)) as cluster:
        yield cluster


@pytest.fixture
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    folder.chmod(0o777)
    return folder


def test_exit_codes_and_output(live: Cluster, out: Path) -> None:
    good = live.wrap("echo $SLURM_JOB_ID on $SLURM_JOB_NODELIST", "-o", str(out / "good"))
    bad = live.wrap("exit 3", "-o", "/dev/null")
    found = live.ended(good, bad)
    assert (found[good], found[bad]) == (("COMPLETED", "0:0"), ("FAILED", "3:0"))
    assert (out / "good").read_text().startswith(f"{good} on ")


def test_a_gang_and_its_steps(live: Cluster, out: Path) -> None:
    job = live.wrap("srun printenv SLURM_PROCID SLURM_NODEID | paste - - | sort", "-N2", "-n4", "-o", str(out / "gang"))
    assert live.ended(job)[job] == ("COMPLETED", "0:0")
    assert (out / "gang").read_text().split("\n")[:4] == ["0\t0", "1\t0", "2\t1", "3\t1"]


def test_an_array_with_a_throttle_and_what_waits_for_it(live: Cluster, out: Path) -> None:
    array = live.wrap("exit 0", "-a", "1-4%2", "-o", "/dev/null")
    after = live.wrap("exit 0", "-d", f"afterok:{array}", "-o", "/dev/null")
    found = live.ended(after)
    assert found[after] == ("COMPLETED", "0:0")
    assert {row[0] for row in live.accounts([array]).values()} == {"COMPLETED"}


def test_cancelling_what_runs_and_what_waits_inside(live: Cluster) -> None:
    running = live.wrap("sleep 600", "-o", "/dev/null")
    live.becomes(running, "RUNNING")
    whole = [live.wrap("sleep 600", "-N1", "-n2", "-o", "/dev/null") for _ in range(5)]
    assert live.run("scancel", running, *whole) == (0, "", "")
    assert {row[0].split(" ")[0] for row in live.ended(running, *whole).values()} == {"CANCELLED"}


def test_what_armada_rejects_waits_and_says_why(live: Cluster) -> None:
    """Memory that Kubernetes keeps for itself can't be had: the controller counts on it, Armada does not."""
    job = live.wrap("exit 0", "--mem=512", "-n2", "-o", "/dev/null")
    until(lambda: live.state_of(job) != "PENDING" or "BadConstraints" in live.run("squeue", "-h", "-j", job).out)
    if live.state_of(job) == "PENDING":
        shown = live.run("scontrol", "show", "job", job).out
        assert "SystemComment=" in shown, shown
    live.run("scancel", job)


def test_a_controller_that_was_killed(live: Cluster, out: Path) -> None:
    job = live.wrap("sleep 3; echo done", "-o", str(out / "done"))
    live.becomes(job, "RUNNING")
    live.kill("controller")
    live.start()
    assert live.ended(job)[job] == ("COMPLETED", "0:0")
    assert (out / "done").read_text() == "done\n"


def test_an_allocation_of_srun_alone(live: Cluster) -> None:
    done = live.run("srun", "-N2", "-n2", "printenv", "SLURM_PROCID")
    assert (done.code, sorted(done.out.split())) == (0, ["0", "1"])

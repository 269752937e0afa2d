"""Reservations and nodes that are drained or new, with the real engine and jobs that run meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.system.conftest import ALICE, CLUSTER, Cluster, running_cluster, until


@pytest.fixture
def own() -> Cluster:
    with running_cluster() as one:
        yield one


def states(cluster: Cluster, *options: str) -> dict[str, str]:
    lines = cluster.run("sinfo", "-hN", "-p", "compute", "-o", "%N %t", *options).out.splitlines()
    return dict(line.split() for line in lines)


def test_a_reservation_from_its_making_to_its_end(own: Cluster, folder: Path, as_root: None) -> None:
    made = own.run(
        "scontrol", "create", "reservation", "reservationname=r", "starttime=now", "duration=60", "nodes=node02",
        f"users={ALICE}",
    )  # fmt: skip
    assert made == (0, "Reservation created: r\n", "")
    assert states(own)["node02"] == "resv"
    inside = own.wrap("echo $SLURM_JOB_RESERVATION; sleep 600", "--reservation=r", "-o", f"{folder}/in", user=ALICE)
    outside = own.wrap("sleep 600", "-w", "node02")
    others = own.wrap("true", "-N", "2")
    assert own.ended(others)[others] == ("COMPLETED", "0:0")
    own.becomes(inside, "RUNNING")
    shown = own.run("squeue", "-h", "-o", "%i|%v|%N|%R", "-S", "i").out.splitlines()
    assert shown == [
        f"{inside}|r|node02|node02",
        f"{outside}|(null)||(ReqNodeNotAvail, May be reserved for other job)",
    ]
    assert own.run("sbatch", "--reservation=r", "--wrap", "true", user="daemon").code == 1
    # a controller that was killed knows it still
    own.kill("controller")
    own.start()
    assert own.run("scontrol", "delete", "reservation=r").err.endswith("Requested reservation is in use\n")
    assert own.run("scontrol", "update", "reservation=r", "endtime=now+1seconds").code == 0
    assert own.ended(inside)[inside][0] == "TIMEOUT"
    own.becomes(outside, "RUNNING")
    assert own.run("scontrol", "show", "reservation").out == "No reservations in the system\n"
    assert own.run("sacct", "-nXP", "-j", inside, "-o", "reservationid,nodelist").out == "1|node02\n"
    own.run("scancel", outside)
    assert (folder / "in").read_text().splitlines()[0] == "r"


def test_nodes_drained_and_resumed_while_jobs_run_and_nodes_that_are_new(own: Cluster) -> None:
    running = own.wrap("sleep 600", "-w", "node01")
    own.becomes(running, "RUNNING")
    assert own.run("scontrol", "update", "nodename=node01", "state=drain", "reason=fan").code == 0
    assert states(own)["node01"] == "drng"
    waits = own.wrap("true", "-w", "node01", "-o", "/dev/null")
    spread = own.wrap("true", "-N", "2", "-o", "/dev/null")
    assert own.ended(spread)[spread] == ("COMPLETED", "0:0")
    assert own.state_of(running) == "RUNNING"
    # the engine knows it by itself, too: a new one, and pods that nobody kept off
    os.kill(own.pid("engine"), signal.SIGKILL)
    assert own.run("scontrol", "update", "nodename=node02", "state=resume").code == 1  # it was never closed
    own.run("scancel", running)
    until(lambda: states(own)["node01"] == "drain", "node01 is drained")
    assert own.state_of(waits) == "PENDING"
    assert "fan" in own.run("sinfo", "-hR").out
    assert own.run("scontrol", "update", "nodename=node01", "state=resume").code == 0
    assert own.ended(waits)[waits] == ("COMPLETED", "0:0")
    # features and new nodes reach the engine before a job can ask for them
    assert own.run("scontrol", "update", "nodename=node03", "features=new", "activefeatures=new").code == 0
    fast = own.wrap("true", "-C", "new", "-o", "/dev/null")
    assert own.ended(fast)[fast] == ("COMPLETED", "0:0")
    more = CLUSTER.replace("Partitions:", '  - {NodeName: node05, CPUs: 2, RealMemory: 500}\nPartitions:').replace(
        "node[01-04]", "node[01-05]"
    )  # fmt: skip
    state = next(line for line in own.file.read_text().splitlines() if line.startswith("StateSaveLocation"))
    own.file.write_text(f"{more}{state}\n")
    assert own.run("scontrol", "reconfigure") == (0, "", "")
    there = own.wrap("hostname", "-w", "node05", "-o", "/dev/null")
    assert own.ended(there)[there] == ("COMPLETED", "0:0")
    assert states(own)["node05"] in ("idle", "comp")

"""Jobs that give way: for one of a better QOS by the controller, and because Armada says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Cluster, running_cluster, until

CLUSTER = """\
ClusterName: yielding
KillWait: 1
DefMemPerCPU: 64
MailProg: /bin/true
PreemptType: preempt/qos
PreemptMode: REQUEUE
PriorityWeightQOS: 1000
Nodes: [{NodeName: "node[01-02]", CPUs: 4, CoresPerSocket: 4, RealMemory: 4000}]
Partitions: [{PartitionName: compute, Default: true}]
QOS:
  - {Name: normal}
  - {Name: short, PreemptMode: CANCEL, Priority: 1}
  - {Name: gentle, GraceTime: 2, PreemptMode: CANCEL}
  - {Name: high, Priority: 100, Preempt: [normal, short, gentle]}
"""
SCRIPT = """\
#!/bin/sh
trap 'echo got TERM' TERM
echo begin
while :; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def yielding() -> Iterator[Cluster]:
    with running_cluster(CLUSTER) as one:
        yield one


@pytest.fixture(autouse=True)
def nothing_left(yielding: Cluster) -> Iterator[None]:
    yield
    yielding.run("scancel", "-u", "root,nobody")
    yielding.run("scancel", "--me")
    until(lambda: not yielding.run("squeue", "-h", "-t", "PD,R,CG").out, "nothing is left")


def begun(cluster: Cluster, folder: Path, *options: str) -> str:
    """A job that fills a node and has begun."""
    script = folder / "job.sh"
    script.write_text(SCRIPT)
    job = cluster.sbatch("--exclusive", "-N1", "-o", f"{folder}/%j", *options, script)
    until(lambda: (folder / job).exists() and "begin" in (folder / job).read_text(), f"job {job} begins")
    return job


def shown(cluster: Cluster, job: str, form: str) -> str:
    return cluster.run("squeue", "-ha", "-j", job, "-o", form).out.strip()


def exit_code(cluster: Cluster, job: str) -> str:
    return cluster.run("scontrol", "show", "job", job).out.partition(" ExitCode=")[2].split()[0]


def test_the_least_of_the_qos_goes_and_runs_again_later(yielding: Cluster, folder: Path) -> None:
    short = begun(yielding, folder, "-q", "short")
    normal = begun(yielding, folder, "-q", "normal")
    high = yielding.wrap("true", "-q", "high", "--exclusive", "-N1")
    assert yielding.ended(high)[high] == ("COMPLETED", "0:0")
    until(lambda: shown(yielding, normal, "%T %r") == "PENDING BeginTime", "it waits to run again")
    rows = yielding.run("sacct", "-DXnP", "-j", normal, "-o", "state,exitcode").out.splitlines()
    assert rows[0] == "PREEMPTED|0:0" and rows[1].startswith("PENDING")
    text = (folder / normal).read_text()
    assert f"*** JOB {normal} ON node02 CANCELLED AT " in text and "DUE TO PREEMPTION ***" in text
    assert "got TERM" in text
    assert shown(yielding, short, "%T") == "RUNNING"
    assert "PreemptEligibleTime=" in yielding.run("scontrol", "show", "job", short).out


def test_a_qos_may_cancel_instead(yielding: Cluster, folder: Path) -> None:
    jobs = [begun(yielding, folder, "-q", "short") for _ in range(2)]
    high = yielding.wrap("true", "-q", "high", "--exclusive", "-N1")
    assert yielding.ended(high)[high] == ("COMPLETED", "0:0")
    assert yielding.ended(jobs[0])[jobs[0]][0] == "PREEMPTED"
    assert exit_code(yielding, jobs[0]) == "0:9"
    assert shown(yielding, jobs[1], "%T") == "RUNNING"


def test_grace_is_kept_also_over_a_restart(yielding: Cluster, folder: Path) -> None:
    jobs = [begun(yielding, folder, "-q", "gentle") for _ in range(2)]
    high = yielding.wrap("true", "-q", "high", "--exclusive", "-N1")
    until(lambda: "PreemptTime=None" not in yielding.run("scontrol", "show", "job", jobs[0]).out, "it is told")
    assert shown(yielding, jobs[0], "%T") == "RUNNING"
    yielding.kill("controller")
    yielding.start()
    assert yielding.ended(high)[high] == ("COMPLETED", "0:0")
    assert yielding.ended(jobs[0])[jobs[0]][0] == "PREEMPTED"
    assert exit_code(yielding, jobs[0]) == "0:9"
    assert "got TERM" in (folder / jobs[0]).read_text()


def test_who_waits_behind_gets_nothing_of_the_room(yielding: Cluster, folder: Path) -> None:
    for _ in range(2):
        begun(yielding, folder, "-q", "normal")
    behind = [yielding.wrap("true", "-q", "normal", "-o", "/dev/null") for _ in range(3)]
    high = begun(yielding, folder, "-q", "high")
    assert {shown(yielding, job, "%T") for job in behind} == {"PENDING"}
    yielding.run("scancel", high)
    assert all(row[0] == "COMPLETED" for row in yielding.ended(*behind).values())


def test_without_anybody_to_preempt_it_waits(yielding: Cluster, folder: Path) -> None:
    running = [begun(yielding, folder, "-q", "high") for _ in range(2)]
    waiting = yielding.wrap("true", "-q", "high", "--exclusive")
    until(lambda: shown(yielding, waiting, "%r") == "Resources", "it waits")
    assert [shown(yielding, job, "%T") for job in running] == ["RUNNING", "RUNNING"]

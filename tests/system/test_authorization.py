"""Whom the kernel names, and what he may: real users, the real socket, the commands as they type them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import ALICE, BOB, Cluster, running_cluster, until

COORDINATOR, OPERATOR = "bin", "sys"
CLUSTER = f"""\
ClusterName: several
KillWait: 1
DefMemPerCPU: 64
MailProg: /bin/true
AccountingStorageEnforce: associations,limits
PrivateData: jobs,usage,users,accounts,events,reservations
Operators: [{OPERATOR}]
Nodes: [{{NodeName: "node[01-02]", CPUs: 8, CoresPerSocket: 8, RealMemory: 4000}}]
Partitions: [{{PartitionName: compute, Default: true}}]
Accounts:
  - {{Name: physics, Coordinators: [{COORDINATOR}]}}
  - {{Name: biology, GrpTRES: cpu=2}}
Users:
  - {{Name: {ALICE}, Account: physics}}
  - {{Name: {BOB}, Account: biology, MaxSubmitJobs: 3}}
  - {{Name: {COORDINATOR}, Account: biology}}
"""
DENIED, NOT_YOU = "Access/permission denied", "Invalid user id"


@pytest.fixture(scope="module")
def several() -> Iterator[Cluster]:
    with running_cluster(CLUSTER) as one:
        yield one


@pytest.fixture
def job(several: Cluster, folder: Path, as_root: None) -> Iterator[str]:
    """A job of alice's that runs."""
    number = several.wrap("sleep 600", "-o", "/dev/null", user=ALICE)
    several.becomes(number, "RUNNING")
    yield number
    several.run("scancel", number)


TRIES = (
    # command, what another is told
    (("scancel", "{}"), DENIED),
    (("scontrol", "hold", "{}"), NOT_YOU),
    (("scontrol", "update", "jobid={}", "comment=x"), NOT_YOU),
    (("scontrol", "requeue", "{}"), DENIED),
    (("scontrol", "suspend", "{}"), DENIED),
    (("scontrol", "write", "batch_script", "{}", "-"), NOT_YOU),
)


@pytest.mark.parametrize("words, told", TRIES)
def test_another_user_may_not(several: Cluster, job: str, words: tuple[str, ...], told: str) -> None:
    done = several.run(*(word.format(job) for word in words), user=BOB)
    assert told in done.err + done.out
    assert several.state_of(job) == "RUNNING"


@pytest.mark.parametrize("user", [ALICE, COORDINATOR, OPERATOR, "root"])
def test_owner_coordinator_and_operator_may(several: Cluster, job: str, user: str) -> None:
    who = "" if user == "root" else user
    for words in (("suspend", job), ("resume", job), ("update", f"jobid={job}", f"comment={user}")):
        assert several.run("scontrol", *words, user=who).code == 0
    assert several.run("scancel", job, user=who) == (0, "", "")
    assert several.ended(job)[job][0].startswith("CANCELLED")


def test_nobody_runs_anything_as_somebody_else(several: Cluster, job: str) -> None:
    hidden = "Invalid job id specified"  # from those who may not even see it
    for user, told in ((BOB, hidden), (COORDINATOR, DENIED), (OPERATOR, DENIED)):
        done = several.run("srun", f"--jobid={job}", "--overlap", "id", user=user)
        assert done.code != 0 and told in done.err, (user, done)


def test_what_is_private(several: Cluster, job: str) -> None:
    def seen(user: str, *words: str) -> str:
        return several.run(*words, user=user).out.strip()

    listing = ("squeue", "-h", "-o", "%i")
    assert [seen(user, *listing) for user in (ALICE, COORDINATOR, OPERATOR)] == [job, job, job]
    assert seen(BOB, *listing) == ""
    assert "Invalid job id specified" in several.run("scontrol", "show", "job", job, user=BOB).err
    assert seen(BOB, "sacct", "-nX", "-j", job, "-o", "jobid") == ""
    assert seen(ALICE, "sacct", "-nX", "-j", job, "-o", "jobid") == job
    assert seen(BOB, "sacctmgr", "-nP", "show", "user", "format=user") == BOB
    assert several.run("sacctmgr", "-nP", "show", "account", user=BOB).code == 1
    assert f"UserName={ALICE}" not in seen(BOB, "scontrol", "show", "assoc_mgr")
    assert "PrivateData             = accounts,events,jobs,reservations,usage,users" in seen(
        BOB, "scontrol", "show", "config"
    )


def test_limits_hold_many_jobs_at_once_and_over_a_restart(several: Cluster, as_root: None) -> None:
    jobs = [several.wrap("sleep 600", "-o", "/dev/null", user=BOB) for _ in range(3)]
    refused = several.run("sbatch", "--wrap", "true", user=BOB)
    assert refused.err.startswith("sbatch: error: AssocMaxSubmitJobLimit\n")
    several.becomes(jobs[1], "RUNNING")
    assert several.run("squeue", "-h", "-j", jobs[2], "-o", "%T %r").out == "PENDING AssocGrpCpuLimit\n"
    several.kill("controller")
    several.start()
    assert several.run("squeue", "-h", "-j", jobs[2], "-o", "%T %r").out == "PENDING AssocGrpCpuLimit\n"
    shown = several.run("scontrol", "show", "assoc_mgr", "accounts=biology", f"users={BOB}", "flags=assoc").out
    assert "GrpSubmitJobs=N(3)" in shown and "MaxSubmitJobs=3(3)" in shown and "GrpTRES=cpu=2(2)," in shown
    several.run("scancel", jobs[0])
    several.becomes(jobs[2], "RUNNING")
    several.run("scancel", *jobs[1:])
    until(lambda: not several.run("squeue", "-h", "-u", BOB).out, "they are gone")

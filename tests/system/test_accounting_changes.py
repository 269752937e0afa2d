"""sacctmgr changes a running cluster: at once, for good, and with the queues of Armada behind it."""

import pytest

from tests.system.conftest import running_cluster, until

CLUSTER = """\
ClusterName: booked
KillWait: 1
AccountingStorageEnforce: associations,limits,qos
Nodes:
  - {NodeName: "node[01-02]", CPUs: 4, CoresPerSocket: 4, RealMemory: 4000}
Partitions:
  - {PartitionName: compute, Nodes: "node[01-02]", Default: true}
Accounts:
  - {Name: old, Fairshare: 2}
Users:
  - {Name: root, Account: old}
"""


@pytest.fixture(scope="module")
def booked(as_root_module):
    with running_cluster(CLUSTER) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def as_root_module():
    import os

    if os.getuid() != 0:
        pytest.skip("accounts here are root's")


def changed(cluster, line, **more):
    done = cluster.run("sacctmgr", "-i", *line.split(), **more)
    assert (done.code, done.err) == (0, ""), done
    return done.out


def test_an_account_is_usable_once_it_is_there_and_after_kill_nine(booked):
    refused = booked.run("sbatch", "-A", "new", "--wrap", "true")
    assert "Invalid account" in refused.err
    changed(booked, "add account new fairshare=4")
    changed(booked, "add user root account=new maxsubmit=1")
    job = booked.wrap("sleep 300", "-A", "new")
    booked.becomes(job, "RUNNING")
    over = booked.run("sbatch", "-A", "new", "--wrap", "true")
    assert "AssocMaxSubmitJobLimit" in over.err
    booked.kill("controller")
    booked.start()
    rows = booked.run("sacctmgr", "-nP", "list", "assoc", "account=new", "format=id,user,share,maxsubmit").out
    assert rows.splitlines() == ["5||4|", "6|root|1|1"]
    running = booked.run("sacctmgr", "-i", "delete", "account", "new")
    assert running.err.splitlines()[0] == " Error with request: Job(s) active, cancel job(s) before remove"
    booked.run("scancel", job)
    booked.ended(job)
    assert changed(booked, "delete account new") == " Deleting accounts...\n  new\n"
    assert "Invalid account" in booked.run("sbatch", "-A", "new", "--wrap", "true").err
    until(lambda: not booked.run("squeue", "-h").out, "nothing runs")


def test_a_changed_file_goes_below_what_sacctmgr_said(booked):
    changed(booked, "modify account old set maxjobs=7")
    booked.file.write_text(
        booked.file.read_text().replace("Fairshare: 2", "Fairshare: 9, MaxJobs: 1, MaxSubmitJobs: 8")
    )
    assert booked.run("scontrol", "reconfigure").code == 0
    columns = "format=share,maxjobs,maxsubmit"
    assert booked.run("sacctmgr", "-nP", "list", "assoc", "account=old", "users=", columns).out == "9|7|8\n"


def test_nodes_that_took_no_work_are_events(booked):
    assert booked.run("scontrol", "update", "nodename=node02", "state=drain", "reason=fan").code == 0
    assert booked.run("scontrol", "update", "nodename=node02", "state=resume").code == 0
    rows = booked.run("sacctmgr", "-nP", "show", "event", "nodes=node02", "format=nodename,state,reason,user").out
    assert rows.splitlines() == ["node02|DRAIN|fan|root(0)"]

"""The reference cluster and people for tests of the controller's checks."""

from pathlib import Path

import yaml

from slurm_compat.controller.caller import Caller
from slurm_compat.controller.host import Machine
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.submission import check
from slurm_compat.core.cluster import ClusterConf, cluster_conf
from slurm_compat.core.model import JobRequest

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000
MACHINE = Machine("here", 8, 16000, architecture="x86_64", operating_system="Linux 6.1.0 #1 SMP", boot_time=NOW - 1000)
ALICE = Caller(2001, 2001, "alice", "alice", False, False)
BOB = Caller(2002, 2002, "bob", "bob", False, False)
ROOT_USER = Caller(0, 0, "root", "root", True, True)


def reference_conf() -> ClusterConf:
    return cluster_conf(yaml.safe_load((ROOT / "fixtures/clusters/oracle.yaml").read_text()))


def reference_cluster() -> Cluster:
    cluster = Cluster.from_conf(reference_conf(), MACHINE, NOW)
    cluster.measure = lambda: (0.5, 1234)
    cluster.groups_of = lambda user: frozenset({user})
    return cluster


def job(cluster: Cluster, job_id: int = 1, caller: Caller = ALICE, priority: int = 100, **asked) -> Job:
    """A pending job as the controller makes it of an accepted request."""
    request = JobRequest(**asked)
    accepted = check(request, caller, cluster, NOW)
    return Job(
        job_id=job_id,
        db_index=job_id,
        request=request,
        shape=accepted.shape,
        user_id=caller.uid,
        user_name=caller.user_name,
        group_id=caller.gid,
        group_name=caller.group_name,
        name="job",
        account=accepted.account,
        partition=accepted.partition,
        qos=accepted.qos,
        time_limit=accepted.time_limit,
        tres_req_str=accepted.tres_req_str,
        begin_time=accepted.begin_time,
        hold="user" if accepted.hold else "",
        submit_time=NOW,
        priority=priority,
        token="secret",
        attempt=1,
    )

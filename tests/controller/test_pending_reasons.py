"""Why jobs wait, as squeue showed it of a real Slurm."""

import pytest

from slurm_compat.controller import pending
from slurm_compat.controller.priorities import priority
from slurm_compat.core.model import Depend
from tests.controller.reference import ALICE, BOB, NOW, job, reference_cluster


@pytest.fixture
def cluster():
    return reference_cluster()


def fill(cluster, job_id=900, cpus=4, names=("node01", "node02", "node03", "node04")):
    cluster.allocate(job_id, [(name, cpus, 500, {}) for name in names])


def reason(cluster, *jobs):
    found = pending.reasons(jobs, cluster, NOW + 5)
    return [found[each.job_id][1] or found[each.job_id][0] for each in jobs]


def test_the_first_waits_for_resources_and_those_behind_it_for_their_priority(cluster):
    fill(cluster)
    jobs = [
        job(cluster, 1, minimum_nodes=4, maximum_nodes=4),
        job(cluster, 2),
        job(cluster, 3, partition="debug"),
        job(cluster, 4, required_nodes="node05"),
        job(cluster, 5, minimum_nodes=9, maximum_nodes=9),
        job(cluster, 6, partition="debug", time_limit=300),
    ]
    assert reason(cluster, *jobs) == [
        "Resources", "Priority", "Resources", "ReqNodeNotAvail, UnavailableNodes:node05", "PartitionNodeLimit",
        "PartitionTimeLimit",
    ]  # fmt: skip


def test_where_there_is_room_nothing_keeps_a_job(cluster):
    fill(cluster, cpus=3)
    assert reason(cluster, job(cluster, 1), job(cluster, 2, tasks=4, maximum_nodes=1, minimum_nodes=1)) == [
        "None",
        "Resources",
    ]


def test_waits_of_the_jobs_own(cluster):
    later = job(cluster, 1, begin_time=NOW + 1000)
    held = job(cluster, 2, hold=True)
    dependent = job(cluster, 3)
    dependent.dependency = [Depend("afterok", 7)]
    admin = job(cluster, 4, hold=True)
    admin.hold = "admin"
    assert reason(cluster, later, held, dependent, admin) == ["BeginTime", "JobHeldUser", "Dependency", "JobHeldAdmin"]


def test_licences(cluster):
    first, second = job(cluster, 1, licenses="matlab:6"), job(cluster, 2, licenses="matlab:6")
    cluster.allocate(1, [("node01", 1, 500, {})], "matlab:6")
    assert reason(cluster, second) == ["Licenses"]
    cluster.release(1)
    assert pending.blocked(second, cluster, NOW) is None
    cluster.live = lambda: [first]  # handed to Armada
    assert pending.blocked(second, cluster, NOW) == ("Licenses", "")


def test_limits_of_a_qos_count_the_users_other_jobs(cluster):
    running, waiting, others = (
        job(cluster, 1, qos="small", tasks=2),
        job(cluster, 2, qos="small"),
        job(cluster, 3, BOB),
    )
    running.state = "RUNNING"
    cluster.limiter.tally.place(running)
    assert pending.blocked(waiting, cluster, NOW) == ("QOSMaxCpuPerUserLimit", "")
    assert pending.blocked(others, cluster, NOW) is None
    cluster.limiter.tally.forget(running.job_id)
    assert pending.blocked(waiting, cluster, NOW) is None


@pytest.mark.parametrize("change, want", [
    ({"state": "DOWN"}, "PartitionDown"),
    ({"state": "INACTIVE"}, "PartitionInactive"),
    ({"max_nodes": 1}, "PartitionNodeLimit"),
    ({"min_nodes": 3}, "PartitionNodeLimit"),
    ({"allow_accounts": "project2"}, "AccountNotAllowed"),
    ({"deny_accounts": "project1"}, "AccountNotAllowed"),
    ({"allow_qos": "high"}, "QOSNotAllowed"),
    ({"allow_groups": "staff,bob"},
     "uid 2001 not in group permitted to use this partition (debug). groups allowed: staff,bob"),
])  # fmt: skip
def test_changes_of_a_partition_keep_jobs_waiting(cluster, change, want):
    waiting = job(cluster, 1, partition="debug", minimum_nodes=2, maximum_nodes=2)
    cluster.update_partition("debug", change)
    assert reason(cluster, waiting) == [want]


def test_nodes_that_close_on_a_waiting_job(cluster):
    waiting = job(cluster, 1, required_nodes="node03")
    cluster.update_node(["node03"], {"state": "DRAIN", "reason": "x"}, "root", NOW + 10)
    assert pending.blocked(waiting, cluster, NOW + 20) == ("Resources", pending.NODES_CLOSED)
    later = job(cluster, 2, required_nodes="node03")
    later.submit_time = NOW + 30
    assert pending.blocked(later, cluster, NOW + 30) == (
        "ReqNodeNotAvail",
        "ReqNodeNotAvail, UnavailableNodes:node[03,05]",
    )
    cluster.update_node(["node03"], {"state": "RESUME"}, "root", NOW + 40)
    assert pending.blocked(waiting, cluster, NOW + 50) is None


def test_a_released_job_that_no_node_can_take(cluster):
    impossible = job(cluster, 1, hold=True, cpus_per_task=99)
    impossible.hold = ""
    assert reason(cluster, impossible) == ["PartitionConfig"]
    impossible = job(cluster, 1, hold=True, memory_per_node=99999)
    impossible.hold = ""
    assert reason(cluster, impossible) == ["BadConstraints"]


@pytest.mark.parametrize("asked, want", [
    ({}, 11125), ({"minimum_nodes": 4, "maximum_nodes": 4}, 11500), ({"minimum_nodes": 9, "maximum_nodes": 9}, 12000),
    ({"qos": "high"}, 13125), ({"nice": 100}, 11025),
])  # fmt: skip
def test_priorities_are_those_of_the_multifactor_plugin(cluster, asked, want):
    made = job(cluster, 1, ALICE, **asked)
    made.nice = asked.get("nice", 0)
    assert priority(made, cluster, NOW) == want


def test_preferred_nodes_are_taken_while_they_are_free(cluster):
    picky = job(cluster, 1, prefer="rome")
    assert pending.shape_now(picky, cluster).members[0].constraint == "rome"
    fill(cluster, names=("node03",))
    assert pending.shape_now(picky, cluster).members[0].constraint == ""

"""When waiting jobs are told to start: after what runs before them, one after another."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import jobsmade as made
from reference import reference_cluster

sys.path.pop(0)

from slurm_compat.controller.startestimates import starts
from slurm_compat.translators.shapes import Member, Shape

NOW = 10_000


def waits(job_id, cpus, limit=10, reason="Resources", partition="debug"):
    shape = Shape(members=[Member(cpus=cpus, memory_mib=1)], cpus=cpus)
    return made.job(job_id, shape=shape, time_limit=limit, reason=reason, partition=partition)


def runs(job_id, cpus, minutes):
    return made.job(
        job_id, state="RUNNING", partition="debug", cpus=cpus, start_time=NOW, time_limit=minutes, shape=Shape()
    )


def cluster_with(running):
    """debug is node01 and node02, of 4 CPUs each."""
    cluster = reference_cluster()
    for job, node in zip(running, ("node01", "node02"), strict=True):
        cluster.allocate(job.job_id, [(node, job.cpus, 100, "")], "")
    return cluster


@pytest.mark.parametrize(
    "waiting, want",
    [
        ([waits(1, 4)], {1: 600}),
        ([waits(1, 8)], {1: 1200}),
        ([waits(1, 4, limit=3), waits(2, 4, reason="Priority")], {1: 600, 2: 780}),
        ([waits(1, 4, limit=60), waits(2, 4, reason="Priority")], {1: 600, 2: 1200}),
        ([waits(1, 9)], {}),
        ([waits(1, 4, reason="Dependency")], {}),
        ([waits(1, 4, partition="debug,compute")], {1: 600}),
        ([waits(1, 4, partition="nosuch")], {}),
    ],
)
def test_each_takes_its_turn(waiting, want):
    running = [runs(8, 4, 10), runs(9, 4, 20)]
    found = starts(waiting, running, cluster_with(running), NOW)
    assert {job_id: start - NOW for job_id, start in found.items()} == want


def test_what_waits_for_other_things_than_cpus_is_told_nothing():
    running = [runs(8, 1, 10), runs(9, 1, 10)]
    assert starts([waits(1, 2)], running, cluster_with(running), NOW) == {}

"""Counts and members of a job against what a real Slurm showed."""

from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import JobRequest
from slurm_compat.translators.asked import Defaults
from slurm_compat.translators.layout import shape
from slurm_compat.translators.shapes import Room

RECORDED = yaml.safe_load((Path(__file__).parent / "recorded_shapes.yaml").read_text())


def room(name, features, weight=1, gres=None):
    return Room(name, 4, 4000, gres or {}, frozenset(features.split(",")), weight, 1, 4, 1)


ROOMS = [
    room("node01", "skylake,ib"),
    room("node02", "skylake,ib"),
    room("node03", "rome"),
    room("node04", "skylake,gpu", 50, {"gpu:a100": 2}),
]
DEFAULTS = Defaults(memory_per_cpu=500, node_cpus=4, node_memory=4000, tres_listed=("gres/gpu",))


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["asked"])
def test_a_held_job_shows_what_slurm_shows(case):
    made = shape(JobRequest(**case["request"]), DEFAULTS, ROOMS)
    fewest = min(made.node_count, made.max_nodes) if made.max_nodes else made.node_count
    shows = {
        "NumNodes": f"{fewest}-{made.max_nodes}" if made.max_nodes else str(fewest),
        "NumCPUs": str(made.cpus),
        "NumTasks": str(made.tasks),
        "ReqTRES": made.tres_req_str,
        "MinCPUsNode": str(made.minimum_cpus_per_node),
        "TresPerJob": made.tres_per_job,
        "TresPerNode": made.tres_per_node,
        "TresPerTask": made.tres_per_task,
        "TresBind": made.tres_bind,
        "CpusPerTres": made.cpus_per_tres,
        "MemPerTres": made.memory_per_tres,
        "TresPerSocket": made.tres_per_socket,
    }
    assert {name: text for name, text in shows.items() if text} == case["shows"]


# asked; CPUs, tasks and MiB of each node
LAYOUTS = [
    ({}, [(1, 1, 500)]),
    ({"tasks": 3}, [(3, 3, 1500)]),
    ({"minimum_nodes": 2, "maximum_nodes": 2, "tasks": 4}, [(3, 3, 1500), (1, 1, 500)]),
    ({"minimum_nodes": 3, "maximum_nodes": 3, "tasks": 7}, [(4, 4, 2000), (2, 2, 1000), (1, 1, 500)]),
    ({"minimum_nodes": 4, "maximum_nodes": 4, "tasks": 9}, [(4, 4, 2000), (3, 3, 1500), (1, 1, 500), (1, 1, 500)]),
    ({"tasks": 16}, [(4, 4, 2000)] * 4),
    ({"minimum_nodes": 2, "maximum_nodes": 3}, [(1, 1, 500)] * 3),
    ({"minimum_nodes": 1, "maximum_nodes": 3, "tasks": 2}, [(1, 1, 500)] * 2),
    ({"minimum_nodes": 1, "maximum_nodes": 3, "tasks": 12}, [(4, 4, 2000)] * 3),
    ({"cpus_per_task": 2, "tasks": 3}, [(4, 2, 2000), (2, 1, 1000)]),
    ({"cpus_per_task": 3, "tasks": 3}, [(3, 1, 1500)] * 3),
    ({"tasks": 7, "tasks_per_node": 3}, [(3, 3, 1500), (3, 2, 1500), (3, 2, 1500)]),
    ({"tasks": 5, "tasks_per_node": 2}, [(2, 2, 1000), (2, 2, 1000), (2, 1, 1000)]),
    ({"memory_per_node": 3072, "tasks": 8}, [(4, 4, 3072)] * 2),
    ({"memory_per_cpu": 4000, "tasks": 2}, [(1, 1, 4000)] * 2),
    ({"memory_per_node": 0, "minimum_nodes": 2, "maximum_nodes": 2}, [(1, 1, 4000)] * 2),
    ({"minimum_cpus_per_node": 3}, [(3, 3, 1500)]),
    ({"overcommit": True, "tasks": 6, "minimum_nodes": 4, "maximum_nodes": 4}, [(1, 2, 500)] * 2 + [(1, 1, 500)] * 2),
    ({"exclusive": "exclusive", "tasks": 6}, [(4, 3, 2000)] * 2),
    ({"exclusive": "exclusive", "memory_per_node": 500, "minimum_nodes": 2, "maximum_nodes": 2}, [(4, 4, 500)] * 2),
    ({"spread_job": True, "tasks": 4}, [(1, 1, 500)] * 4),
    ({"tasks": 4, "tasks_per_socket": 2}, [(2, 2, 1000)] * 2),
    ({"gpus": "2", "cpus_per_gpu": 2}, [(4, 4, 2000)]),
    ({"gpus": "2", "memory_per_gpu": 1024}, [(1, 1, 2048)]),
    ({"gpus": "2", "tasks_per_gpu": 2}, [(4, 4, 2000)]),
]


@pytest.mark.parametrize("asked, want", LAYOUTS, ids=str)
def test_members_are_those_slurm_gave_on_idle_nodes(asked, want):
    members = shape(JobRequest(**asked), DEFAULTS, ROOMS).members
    assert [(member.cpus, member.tasks, member.memory_mib) for member in members] == want


def names_of(asked, rooms=ROOMS):
    """Which nodes were chosen, by giving each an amount of memory of its own."""
    marked = [each._replace(memory_mib=4000 + place, total_memory_mib=0) for place, each in enumerate(rooms)]
    members = shape(JobRequest(memory_per_node=0, **asked), DEFAULTS, marked).members
    return [rooms[member.memory_mib - 4000].name for member in members]


@pytest.mark.parametrize("asked, want", [
    ({"constraints": "rome"}, ["node03"]),
    ({"constraints": "skylake|rome", "minimum_nodes": 3}, ["node01", "node02", "node03"]),
    ({"constraints": "[skylake|rome]", "minimum_nodes": 3}, ["node01", "node02", "node04"]),
    ({"constraints": "[rome|skylake]", "minimum_nodes": 2}, ["node01", "node02"]),
    ({"constraints": "[skylake*1&rome*1]", "minimum_nodes": 2}, ["node01", "node03"]),
    ({"constraints": "gpu*1", "minimum_nodes": 2}, ["node01", "node04"]),
    ({"required_nodes": "node02", "tasks": 5}, ["node02", "node01"]),
    ({"required_nodes": "node[01-03]", "minimum_nodes": 2, "maximum_nodes": 2}, ["node01", "node02"]),
    ({"contiguous": True, "minimum_nodes": 2, "excluded_nodes": "node02"}, ["node03", "node04"]),
    ({"gres": "gpu:1"}, ["node04"]),
    ({"required_nodes": "node03,node01"}, ["node01", "node03"]),
])  # fmt: skip
def test_nodes_are_chosen_by_name_feature_and_weight(asked, want):
    assert sorted(names_of(asked)) == sorted(want)


def test_a_partly_taken_node_gives_what_is_free():
    rooms = [ROOMS[0]._replace(cpus=2, total_cpus=4), *ROOMS[1:]]
    members = shape(JobRequest(tasks=9), DEFAULTS, rooms).members
    assert [member.cpus for member in members] == [2, 4, 3]
    assert [member.cpus for member in shape(JobRequest(tasks=3), DEFAULTS, rooms).members] == [3]


def test_exclusive_takes_all_gpus_of_the_node():
    (member,) = shape(JobRequest(exclusive="exclusive", gres="gpu:1"), DEFAULTS, ROOMS).members
    assert (member.cpus, member.gpus) == (4, 2)


def test_a_node_of_the_nodelist_is_pinned_and_the_others_are_not():
    made = shape(JobRequest(required_nodes="node02", minimum_nodes=2, maximum_nodes=2), DEFAULTS, ROOMS)
    assert sorted(member.node for member in made.members) == ["", "node02"]


def test_counted_features_stand_with_the_members_that_bring_them():
    made = shape(JobRequest(constraints="[skylake*1&rome*1]", minimum_nodes=2, maximum_nodes=2), DEFAULTS, ROOMS)
    assert sorted(member.constraint for member in made.members) == ["rome", "skylake"]


@given(
    tasks=st.integers(1, 40),
    cpus_per_task=st.integers(1, 5),
    nodes=st.none() | st.integers(1, 5),
    per_node=st.none() | st.integers(1, 5),
    memory=st.none() | st.integers(1, 5000),
    spread=st.booleans(),
)
def test_members_hold_all_tasks_and_no_more_than_the_nodes_have(tasks, cpus_per_task, nodes, per_node, memory, spread):
    request = JobRequest(
        tasks=tasks, cpus_per_task=cpus_per_task, minimum_nodes=nodes, maximum_nodes=nodes, tasks_per_node=per_node,
        memory_per_cpu=memory, spread_job=spread,
    )  # fmt: skip
    try:
        members = shape(request, DEFAULTS, ROOMS).members
    except SlurmError:
        return
    if not members:
        return
    assert sum(member.tasks for member in members) == tasks
    assert all(member.tasks * cpus_per_task <= member.cpus <= 4 for member in members)
    assert all(0 < member.memory_mib <= 4000 for member in members)
    assert nodes is None or len(members) == min(nodes, tasks)


# asked with MaxMemPerCPU=1000; CPUs/Task, NumCPUs, MinCPUsNode, MinMemory, ReqTRES
MORE_MEMORY = [
    ({"memory_per_cpu": 1000}, (1, 1, 1, 1000, "cpu=1,mem=1000M,node=1,billing=1")),
    ({"memory_per_cpu": 2000}, (2, 1, 2, 1000, "cpu=1,mem=2000M,node=1,billing=1")),
    ({"memory_per_cpu": 2500}, (3, 1, 3, 834, "cpu=1,mem=2500M,node=1,billing=1")),
    ({"memory_per_cpu": 2000, "cpus_per_task": 2}, (4, 2, 4, 1000, "cpu=2,mem=4000M,node=1,billing=2")),
    ({"memory_per_node": 2000}, (2, 2, 2, 2000, "cpu=1,mem=2000M,node=1,billing=1")),
    ({"memory_per_node": 2000, "tasks": 2}, (1, 2, 2, 2000, "cpu=2,mem=2000M,node=1,billing=2")),
    ({"memory_per_node": 0}, (4, 4, 4, 0, "cpu=1,mem=4000M,node=1,billing=1")),
]


@pytest.mark.parametrize("asked, want", MORE_MEMORY, ids=str)
def test_more_memory_than_a_cpu_may_have_brings_more_cpus(asked, want):
    made = shape(JobRequest(**asked), msgspec.structs.replace(DEFAULTS, maximum_memory_per_cpu=1000), ROOMS)
    memory = made.memory_per_cpu if made.memory_per_cpu is not None else made.memory_per_node
    assert (made.cpus_per_task, made.cpus, made.minimum_cpus_per_node, memory, made.tres_req_str) == want
    assert sum(member.cpus for member in made.members) >= made.minimum_cpus_per_node

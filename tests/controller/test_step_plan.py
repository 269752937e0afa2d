"""Where steps run in an allocation, as observed on 26.05 in a job of 4 and 2 CPUs on two nodes."""

from types import SimpleNamespace

import pytest

from slurm_compat.controller.steps import Busy, fold, plan
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import JobRequest, StepRequest

RESOURCES = [("node01", 4, "0-3", 2000, ""), ("node02", 2, "0-1", 1000, "")]


def job(resources=RESOURCES, **request):
    return SimpleNamespace(resources=resources, request=JobRequest(**request))


def held(resources, step_id="0", overlap=False):
    return SimpleNamespace(step_id=step_id, state="RUNNING", overlap=overlap, resources=resources)


def ask(tasks=None, nodes=None, **more):
    return StepRequest(tasks=tasks, minimum_nodes=nodes, maximum_nodes=nodes, **more)


def shape(granted):
    return [(node, ranks) for node, ranks, _ in granted.layout]


@pytest.mark.parametrize(
    "request_, want, distribution",
    [
        (ask(3, 2), [("node01", [0, 1]), ("node02", [2])], "Block"),
        (ask(6, 2), [("node01", [0, 1, 2, 3]), ("node02", [4, 5])], "Block"),
        (ask(6, 2, distribution="cyclic"), [("node01", [0, 2, 4, 5]), ("node02", [1, 3])], "Cyclic"),
        (ask(6, 2, distribution="plane=2"), [("node01", [0, 1, 4, 5]), ("node02", [2, 3])], "Plane"),
        (ask(6, 2, distribution="plane=1"), [("node01", [0, 2, 4]), ("node02", [1, 3, 5])], "Plane"),
        (ask(7, 2, overcommit=True), [("node01", [0, 1, 2, 3, 4]), ("node02", [5, 6])], "Block"),
        (ask(4, 2, tasks_per_node=2), [("node01", [0, 1]), ("node02", [2, 3])], "Block"),
        (ask(2, 2), [("node01", [0]), ("node02", [1])], "Cyclic"),
        (ask(2, 2, cpus_per_task=2), [("node01", [0]), ("node02", [1])], "Cyclic"),
        (ask(1, 1, required_nodes="node02"), [("node02", [0])], "Cyclic"),
        (ask(1, 1, excluded_nodes="node01"), [("node02", [0])], "Cyclic"),
        (ask(1, 1, relative=1), [("node02", [0])], "Cyclic"),
        (ask(6, 2, required_nodes="node02"), [("node01", [0, 1, 2, 3]), ("node02", [4, 5])], "Block"),
        (StepRequest(tasks=2, minimum_nodes=1, maximum_nodes=2), [("node01", [0]), ("node02", [1])], "Cyclic"),
        (ask(None, 2), [("node01", [0]), ("node02", [1])], "Cyclic"),
    ],
)
def test_tasks_are_dealt_as_slurm_deals_them(request_, want, distribution):
    granted = plan(job(), [], request_)
    assert shape(granted) == want
    assert granted.distribution == distribution


FOURS = [(f"node0{number}", 4, "0-3", 2000, "") for number in (1, 2, 3, 4)]
ONES = [("node01", 4, "0-3", 2000, ""), ("node02", 1, "0", 500, ""), ("node03", 1, "0", 500, "")]


@pytest.mark.parametrize(
    "resources, tasks, nodes, more, want",
    [
        (FOURS, 8, 4, {}, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (FOURS, 5, 2, {}, [[0, 1, 2], [3, 4]]),
        (FOURS, 10, 4, {"distribution": "block"}, [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]),
        (FOURS, 10, 4, {"distribution": "cyclic"}, [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]),
        (FOURS, 6, 4, {"distribution": "block,pack"}, [[0, 1, 2, 3], [4, 5]]),
        (FOURS, 10, 4, {"distribution": "plane=2"}, [[0, 1, 8, 9], [2, 3], [4, 5], [6, 7]]),
        (FOURS, 6, 4, {"distribution": "plane=2"}, [[0, 1], [2, 3], [4], [5]]),
        (FOURS, 6, 4, {"distribution": "plane=4"}, [[0, 1, 2], [3], [4], [5]]),
        (ONES, 6, 3, {"distribution": "plane=1"}, [[0, 3], [1, 4], [2, 5]]),
        (ONES, 6, 3, {"distribution": "plane=2"}, [[0, 1, 4, 5], [2], [3]]),
        (ONES, 6, 3, {"distribution": "plane=3"}, [[0, 1, 2, 5], [3], [4]]),
        (ONES, 6, 3, {"tasks_per_node": 2}, [[0, 1, 2], [3, 4], [5]]),
        (ONES, 5, 3, {"tasks_per_node": 2}, [[0, 1, 2], [3], [4]]),
        (ONES, 14, 3, {"overcommit": True}, [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13]]),
        (FOURS, 7, 3, {"tasks_per_node": 3}, [[0, 1, 2], [3, 4], [5, 6]]),
    ],
)
def test_uneven_nodes(resources, tasks, nodes, more, want):
    assert [ranks for _, ranks, _ in plan(job(resources), [], ask(tasks, nodes, **more)).layout] == want


def test_arbitrary_follows_the_list_of_hosts():
    hosts = "node02,node01,node02,node01,node01,node01"
    granted = plan(job(), [], ask(6, 2, distribution="arbitrary", required_nodes=hosts))
    assert shape(granted) == [("node01", [1, 3, 4, 5]), ("node02", [0, 2])]


@pytest.mark.parametrize(
    "request_, number",
    [
        (ask(4, 2, cpus_per_task=2), errors.TOO_MANY_REQUESTED_CPUS),
        (ask(6, 1), errors.TOO_MANY_REQUESTED_CPUS),
        (ask(7, 2), errors.TOO_MANY_REQUESTED_CPUS),
        (ask(1, 1, required_nodes="node03"), errors.REQUESTED_NODE_CONFIG_UNAVAILABLE),
        (ask(1, 1, required_nodes="node01,node02"), errors.REQUESTED_NODE_CONFIG_UNAVAILABLE),
        (ask(1, 3), errors.REQUESTED_NODE_CONFIG_UNAVAILABLE),
        (ask(1, 1, gres="gpu:1"), errors.INVALID_GRES),
        (ask(1, 1, gpus="none here"), errors.INVALID_GRES),
    ],
)
def test_what_can_never_run_is_refused(request_, number):
    with pytest.raises(SlurmError) as refused:
        plan(job(), [], request_)
    assert refused.value.number == number
    assert not isinstance(refused.value, Busy)


def test_a_step_takes_whole_nodes_unless_it_asks_for_less():
    assert [cpus for _, _, cpus in plan(job(), [], ask(1, 1)).layout] == [4]
    assert [cpus for _, _, cpus in plan(job(), [], ask(1, 1, exact=True)).layout] == [1]
    assert [cpus for _, _, cpus in plan(job(), [], ask(1, 1, exclusive=True)).layout] == [1]
    assert [cpus for _, _, cpus in plan(job(), [], ask(1, 1, cpus_per_task=2)).layout] == [2]


def test_memory_goes_with_the_cpus():
    assert plan(job(memory_per_cpu=500), [], ask(1, 1)).memory_mib == 2000
    assert plan(job(memory_per_cpu=500), [], ask(1, 1, exact=True, memory_per_cpu=100)).memory_mib == 100
    assert plan(job(memory_per_node=1000), [], ask(1, 1, memory_per_node=50)).memory_mib == 50


def test_nodes_where_no_step_runs_come_first():
    running = [held([("node01", 1, "0", 500, "")])]
    assert shape(plan(job(), running, ask(1, 1, exact=True))) == [("node02", [0])]
    assert shape(plan(job(), running, ask(1, 1, overlap=True))) == [("node02", [0])]


def test_a_step_that_takes_whole_nodes_waits_for_those_that_hold_a_cpu():
    running = [held([("node01", 1, "0", 500, "")]), held([("node02", 1, "0", 500, "")], "1")]
    with pytest.raises(Busy):
        plan(job(), running, ask(1, 1))
    granted = plan(job(), running, ask(1, 1, exact=True))
    assert granted.resources[0][:3] == ("node01", 1, "1")


def test_overlapping_steps_neither_wait_nor_hold():
    running = [held([("node01", 4, "0-3", 2000, "")]), held([("node02", 2, "0-1", 1000, "")], "1")]
    assert shape(plan(job(), running, ask(1, 1, overlap=True))) == [("node01", [0])]
    assert shape(plan(job(), [held(RESOURCES, overlap=True)], ask(6, 2)))
    with pytest.raises(Busy):
        plan(job(), running, ask(1, 1, exact=True))


def test_memory_that_others_hold_is_waited_for():
    running = [held([("node01", 1, "0", 2000, ""), ("node02", 1, "0", 1000, "")])]
    with pytest.raises(Busy):
        plan(job(), running, ask(1, 1, exact=True, memory_per_node=100))


def test_batch_and_extern_hold_nothing():
    assert shape(plan(job(), [held(RESOURCES, "batch"), held(RESOURCES, "extern")], ask(6, 2)))


def test_gpus_are_shared_out():
    gpus = job([("node04", 4, "0-3", 4000, "gpu:a100:2(IDX:0-1)")])
    assert plan(gpus, [], ask(1, 1)).resources[0][4] == "gpu:a100:2(IDX:0-1)"
    one = plan(gpus, [], ask(1, 1, exact=True, gres="gpu:1"))
    assert one.resources[0][4] == "gpu:a100:1(IDX:0)"
    other = plan(gpus, [held(one.resources)], ask(1, 1, exact=True, gpus="a100:1", memory_per_node=1))
    assert other.resources[0][4] == "gpu:a100:1(IDX:1)"
    with pytest.raises(Busy):
        plan(gpus, [held(one.resources)], ask(1, 1, exact=True, gres="gpu:2", memory_per_node=1))
    with pytest.raises(SlurmError):
        plan(gpus, [], ask(1, 1, gres="gpu:3"))


@pytest.mark.parametrize("statuses, want", [([], 0), ([0, 3 << 8, 1 << 8], 3 << 8), ([3 << 8, 15], 15), ([9, 15], 15)])
def test_the_worst_task_is_the_steps_exit_code(statuses, want):
    assert fold(statuses) == want


def test_memory_by_cpu_is_not_shared_even_by_a_step_that_overlaps():
    """A step that holds all memory leaves none to --overlap where memory is counted by CPUs; else it shares all."""
    running = [held([("node01", 4, "0-3", 2000, "")])]
    whole = job(memory_per_cpu=500)
    with pytest.raises(SlurmError) as problem:
        plan(whole, running, ask(1, 1, overlap=True, memory_per_cpu=500, required_nodes="node01"))
    assert problem.value.number == errors.INVALID_TASK_MEMORY
    assert plan(whole, running, ask(1, 1, overlap=True, required_nodes="node01")).tasks == 1
    assert plan(whole, running, ask(1, 1, overlap=True, memory_per_node=100, required_nodes="node01")).tasks == 1
    assert (
        plan(whole, [held(running[0].resources, overlap=True)], ask(1, 1, overlap=True, memory_per_cpu=500)).tasks == 1
    )

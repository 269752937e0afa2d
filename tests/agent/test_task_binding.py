"""What tasks are bound to: --cpu-bind, --mem-bind and --gpu-bind, as observed on 26.05."""

import pytest

from slurm_compat.agent.binding import Cpu, OutsideAllocation, line, plan
from slurm_compat.agent.gpubind import visible
from slurm_compat.agent.membind import line as mem_line
from slurm_compat.agent.membind import nodes_of
from slurm_compat.agent.topology import machine, step_cpus
from slurm_compat.core.binding import Binding, environment, parse_cpu, parse_mem

ONE = [Cpu(n, n, 0) for n in range(2)]  # the recorded machine: two CPUs of one socket
# two sockets of two cores of two threads; the kernel numbers second threads from 4 on
TWO = [Cpu(n, n % 4, n % 4 // 2, n % 4 // 2) for n in range(8)]


def bound(text, cpus=ONE, tasks=2, per_task=1, distribution="", one_thread=False):
    return plan(parse_cpu(text), cpus, TWO if cpus is TWO else ONE, tasks, per_task, distribution, one_thread)


@pytest.mark.parametrize(
    "text, tasks, per_task, want, told",
    [
        ("v", 2, 1, ["0x1", "0x2"], "verbose,mask_cpu:0x1,0x2"),
        ("v,cores", 2, 1, ["0x1", "0x2"], "verbose,mask_cpu:0x1,0x2"),
        ("v,threads", 2, 1, ["0x1", "0x2"], "verbose,mask_cpu:0x1,0x2"),
        ("v,sockets", 2, 1, ["0x3", "0x3"], "verbose,mask_cpu:0x3,0x3"),
        ("v,ldoms", 2, 1, ["0x3", "0x3"], "verbose,mask_cpu:0x3,0x3"),
        ("v,map_cpu:1,0", 2, 1, ["0x2", "0x1"], "verbose,map_cpu:1,0"),
        ("v,mask_cpu:0x3,0x2", 2, 1, ["0x3", "0x2"], "verbose,mask_cpu:3,2"),
        ("v", 1, 2, ["0x3"], "verbose,mask_cpu:0x3"),
        ("v", 3, 1, ["0x3", "0x3", "0x3"], "verbose,mask_cpu:0x3"),
        ("v", 2, 2, ["0x3", "0x3"], "verbose,mask_cpu:0x3"),
    ],
)
def test_each_task_gets_its_cpus(text, tasks, per_task, want, told):
    found = bound(text, tasks=tasks, per_task=per_task)
    assert [f"0x{sum(1 << cpu for cpu in cpus):x}" for cpus in found.cpus] == want
    assert found.binding.text == told


@pytest.mark.parametrize(
    "text, tasks, per_task, distribution, one_thread, want",
    [
        ("cores", 2, 1, "", False, [{0, 4}, {2, 6}]),  # round the sockets
        ("cores", 2, 1, "block:block", False, [{0, 4}, {0, 4}]),
        ("threads", 4, 1, "block:cyclic", False, [{0}, {2}, {4}, {6}]),
        ("threads", 2, 2, "block:fcyclic", False, [{0, 2}, {4, 6}]),
        ("sockets", 2, 1, "", False, [{0, 1, 4, 5}, {2, 3, 6, 7}]),
        ("ldoms", 2, 1, "", False, [{0, 1, 4, 5}, {2, 3, 6, 7}]),
        ("", 2, 1, "", False, [{0, 1, 4, 5}, {2, 3, 6, 7}]),  # as many as there are sockets
        ("", 4, 1, "", False, [{0, 4}, {2, 6}, {0, 4}, {2, 6}]),  # as cores
        ("threads", 4, 1, "block:block", True, [{0}, {1}, {2}, {3}]),  # --hint=nomultithread
        ("rank_ldom", 2, 1, "", False, [{0, 1, 4, 5}, {2, 3, 6, 7}]),
        ("map_ldom:1", 2, 1, "", False, [{2, 3, 6, 7}, {2, 3, 6, 7}]),
        ("mask_ldom:3", 1, 1, "", False, [set(range(8))]),
        ("map_cpu:5*2,1", 3, 1, "", False, [{5}, {5}, {1}]),
    ],
)
def test_two_sockets_with_two_threads_a_core(text, tasks, per_task, distribution, one_thread, want):
    assert bound(text, TWO, tasks, per_task, distribution, one_thread).cpus == [frozenset(one) for one in want]


def test_a_cpu_that_is_not_the_steps_is_refused():
    with pytest.raises(OutsideAllocation) as problem:
        plan(parse_cpu("map_cpu:9"), ONE[:1], ONE, 1, 1, "")
    assert str(problem.value) == "CPU binding outside of job step allocation, allocated CPUs are: 0x1."


def test_the_lines_of_verbose():
    assert (
        line(bound("v,map_cpu:1,0"), "node01", 1, 1, 99, {0}) == "cpu-bind=MAP  - node01, task  1  1 [99]: mask 0x1 set"
    )
    assert line(bound("v"), "node01", 0, 0, 99, {0}) == "cpu-bind=MASK - node01, task  0  0 [99]: mask 0x1 set"
    assert line(bound("v,none"), "node02", 0, 0, 7, {0, 1}) == "cpu-bind=NONE - node02, task  0  0 [7]: mask 0x3"
    ldom = line(bound("v,rank_ldom"), "node02", 0, 0, 7, {0, 1})
    assert ldom == "cpu-bind=LDRANK - node02, task  0  0 [7]: mask 0x3 set"
    memory = parse_mem("v,local")
    assert mem_line(memory, "node01", 0, 0, 7, [0], True) == "mem-bind=LOC - node01, task  0  0 [7]: mask 0x1 set"
    assert nodes_of(parse_mem("map_mem:1,0"), 0, [0, 1]) == 2
    assert nodes_of(parse_mem("mask_mem:0x3"), 1, [0, 1]) == 3
    assert nodes_of(parse_mem("rank"), 1, [0, 1]) == 2


@pytest.mark.parametrize(
    "text, want",
    [
        ("verbose,cores", ("verbose,cores", "", "cores", "verbose")),
        ("map_cpu:0,1", ("quiet,map_cpu:0,1", "0,1", "map_cpu:", "quiet")),
        ("quiet,mask_cpu:0x1,0x2", ("quiet,mask_cpu:1,2", "1,2", "mask_cpu:", "quiet")),
        ("none", ("quiet,none", "", "none", "quiet")),
        ("v", ("verbose", "", "", "verbose")),
        ("map_cpu:0,1,v", ("verbose,map_cpu:0,1", "0,1", "map_cpu:", "verbose")),
    ],
)
def test_the_words_in_the_environment(text, want):
    found = environment("SLURM_CPU_BIND", parse_cpu(text))
    names = ("SLURM_CPU_BIND", "SLURM_CPU_BIND_LIST", "SLURM_CPU_BIND_TYPE", "SLURM_CPU_BIND_VERBOSE")
    assert tuple(found[name] for name in names) == want
    assert parse_cpu(found["SLURM_CPU_BIND"]) == parse_cpu(text)._replace(verbose=want[3] == "verbose")


def test_quiet_alone_says_nothing():
    assert environment("SLURM_CPU_BIND", parse_cpu("q")) == environment("SLURM_CPU_BIND", Binding()) == {}


@pytest.mark.parametrize("text", ["bogus", "map_cpu:x", "v,coress", "map_cpu:"])
def test_words_nobody_knows(text):
    with pytest.raises(ValueError):
        parse_cpu(text)


FIRST = "Binding to the first device in the allocation instead."


@pytest.mark.parametrize(
    "words, seen, errors",
    [
        ("per_task:1", [["0"], ["1"]], []),
        ("map_gpu:1,0", [["1"], ["0"]], []),
        ("mask_gpu:3,2", [["0", "1"], ["1"]], []),
        ("single:2", [["0"], ["0"], ["1"], ["1"]], []),
        ("none", [["0", "1"]], []),
        ("closest", [["0", "1"]], []),
        (
            "single:1",
            [["0"], ["1"], ["0"]],
            ["_get_single_usable_gres Can't find free slot for local_proc_id = 2, continue using block distribution"],
        ),
        (
            "per_task:1",
            [["0"], ["1"], ["0"]],
            [
                "Not enough gres to bind 1 per task",
                "Bind request gres/gpu:per_task:1 does not specify any devices within the allocation for task 2. "
                + FIRST,
            ],
        ),
        (
            "map_gpu:5",
            [["0"]],
            [
                "Invalid map or mask value specified.",
                "Bind request gres/gpu:map_gpu:5 does not specify any devices within the allocation for task 0. "
                + FIRST,
            ],
        ),
    ],
)
def test_the_gpus_each_task_sees(words, seen, errors):
    found = [visible(f"gres/gpu:{words}", ["0", "1"], task, task) for task in range(len(seen))]
    assert [one.gpus for one in found] == seen
    assert found[-1].errors == errors


def test_what_verbose_says_of_gpus():
    note = visible("gres/gpu:verbose,mask_gpu:3,2", ["0", "1"], 0, 0).note
    assert note == "gpu-bind: usable_gres=0x3; bit_alloc=0x3; local_inx=0; global_list=0,1; local_list=0,1"


def test_a_steps_cpus_among_those_of_its_pod():
    job = [("node01", 2, "2-3", 100, "")]
    # the pod has as many CPUs as its job: the second of them is CPU 3 of the node
    assert step_cpus("node01", job, [("node01", 1, "3", 100, "")], {8, 9}) == {9}
    # a machine smaller than its nodes declare: numbers mean themselves, and what is not there is left out
    assert step_cpus("node01", job, [("node01", 2, "1-2", 100, "")], {0, 1, 2, 5}) == {1, 2}
    assert step_cpus("node01", job, [("node01", 1, "3", 100, "")], {0}) == {0}
    assert {cpu.number for cpu in machine()}

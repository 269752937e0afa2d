"""srun's own arithmetic and words: counts, streams, ends of tasks, environments."""

import io
import os

import pytest

from slurm_compat.cli import srun_environment, srun_request, srun_streams
from slurm_compat.cli.salloc import tasks_by_node
from slurm_compat.cli.srun_tasks import Tasks, task_words
from slurm_compat.core.errors import CommandError
from slurm_compat.core.model import JobRequest


@pytest.mark.parametrize(
    "request_, nodes, want",
    [
        (JobRequest(), 2, (2, 2, 2)),
        (JobRequest(tasks=4), 2, (4, 2, 2)),
        (JobRequest(tasks=1), 2, (1, 1, 1)),
        (JobRequest(minimum_nodes=1, maximum_nodes=2, tasks=2), 2, (2, 1, 2)),
        (JobRequest(minimum_nodes=2, maximum_nodes=2, tasks_per_node=3), 2, (6, 2, 2)),
    ],
)
def test_counts_of_a_step(request_, nodes, want):
    found = srun_request.step_counts(request_, None, nodes)
    assert (found.tasks, found.minimum_nodes, found.maximum_nodes) == want


def test_warnings_of_srun():
    one = srun_request.step_counts(JobRequest(tasks=1), None, 2)
    assert one.warnings == ["can't run 1 processes on 2 nodes, setting nnodes to 1"]
    many = srun_request.step_counts(JobRequest(tasks=6, tasks_per_node=2), None, 2)
    assert many.tasks_per_node is None
    assert many.warnings == [
        "can't honor --ntasks-per-node set to 2 which doesn't match the requested tasks 6 with the maximum number of "
        "requested nodes 2. Ignoring --ntasks-per-node."
    ]


@pytest.mark.parametrize(
    "request_, relative, line",
    [
        (JobRequest(minimum_nodes=3), None, "srun: error: Only allocated 2 nodes asked for 3"),
        (
            JobRequest(minimum_nodes=1, tasks=1),
            5,
            "srun: error: --relative and --nodes option incompatible with count of allocated nodes (5+1>2)",
        ),
    ],
)
def test_what_an_allocation_is_too_small_for(request_, relative, line):
    with pytest.raises(CommandError) as refused:
        srun_request.step_counts(request_, relative, 2)
    assert refused.value.lines == (line,)


def test_no_node_left():
    with pytest.raises(CommandError) as refused:
        srun_request.checked_nodes(JobRequest(excluded_nodes="node[01-02]"), "node[01-02]")
    assert refused.value.lines == ("srun: error: Hostlist is empty!  Can't run job.",)
    srun_request.checked_nodes(JobRequest(excluded_nodes="node01"), "node[01-02]")


def test_mpi_types():
    assert srun_request.mpi_list()[1] == "\tnone"
    srun_request.check_mpi("none")
    with pytest.raises(CommandError) as refused:
        srun_request.check_mpi("pmix")
    assert refused.value.lines[-1] == "srun: error: Invalid MPI type 'pmix', --mpi=list for acceptable types"


@pytest.mark.parametrize(
    "option, step, path",
    [
        ("", "", ""),
        ("all", "", ""),
        ("none", "none", ""),
        ("1", "1", ""),
        ("5", "", "5"),  # no such task: a file's name
        ("out.txt", "", "out.txt"),
        ("out-%j.txt", "", "out-%j.txt"),
        ("out-%t.txt", "out-%t.txt", ""),
        ("out-%3t.txt", "out-%3t.txt", ""),
        ("out-%N", "out-%N", ""),
        (r"out-\%t", "", r"out-\%t"),
    ],
)
def test_who_opens_a_stream(option, step, path):
    assert srun_streams.plan(option, tasks=2) == (step, path)


@pytest.mark.parametrize(
    "path, want", [("a-%s", True), ("a-%J", True), ("a-%2s", True), ("a-%j", False), (r"\%s", False)]
)
def test_names_that_wait_for_the_steps_number(path, want):
    assert srun_streams.needs_step(path) is want


def test_output_folders_are_made(tmp_path):
    fd = srun_streams.open_output("srun", "stdout", str(tmp_path / "a" / "b" / "c.txt"), append=False)
    sink = srun_streams.Sink(fd)
    sink.write(b"text")
    sink.finish()
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"text"


@pytest.mark.parametrize("which, path", [("stdin", "missing"), ("stdout", "nul\0byte")])
def test_files_that_cannot_be_opened(tmp_path, which, path):
    with pytest.raises(CommandError) as refused:
        if which == "stdin":
            srun_streams.open_input("srun", str(tmp_path / path))
        else:
            srun_streams.open_output("srun", which, str(tmp_path / path), append=False)
    assert refused.value.lines[0].startswith(f"srun: error: Could not open {which} file: ")


def test_a_sink_keeps_what_a_pipe_does_not_take():
    reading, writing = os.pipe()
    sink = srun_streams.Sink(writing)
    data = bytes(range(256)) * 4096
    sink.write(data)
    assert sink.waiting
    got = b""
    while len(got) < len(data):
        got += os.read(reading, 1 << 16)
        sink.drain()
    assert got == data
    sink.finish()
    sink.close()
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_sink_whose_reader_went_away_is_no_trouble():
    reading, writing = os.pipe()
    os.close(reading)
    sink = srun_streams.Sink(writing)
    sink.write(b"x")
    sink.finish()
    assert sink.failed
    sink.close()
    os.close(writing)


@pytest.mark.parametrize(
    "ranks, status, text",
    [
        ([0], 7 << 8, "task 0: Exited with exit code 7"),
        ([0, 1, 2], 9 << 8, "tasks 0-2: Exited with exit code 9"),
        ([1], 9, "task 1: Killed"),
        ([1], 11, "task 1: Segmentation fault"),
        ([1], 11 | 0x80, "task 1: Segmentation fault (core dumped)"),
        ([0], 0, ""),
    ],
)
def test_how_ends_are_told(ranks, status, text):
    tasks = Tasks(3)
    tasks.started([0, 1, 2])
    assert tasks.ended(ranks, status) == text


def test_the_highest_end_is_sruns_exit_code():
    tasks = Tasks(4)
    for rank, status in enumerate([0, 3 << 8, 15, 200 << 8]):
        tasks.ended([rank], status)
    assert tasks.exit_code == 200
    assert not tasks.force_terminated
    killed = Tasks(2)
    killed.ended([0], 3 << 8)
    killed.ended([1], 15)
    assert killed.exit_code == 143
    assert killed.force_terminated


def test_the_report_of_a_first_interrupt():
    tasks = Tasks(4)
    tasks.started([0, 1, 2, 3])
    tasks.ended([0], 0)
    tasks.ended([2], 1 << 8)
    assert tasks.report() == ["tasks 1,3: running", "task 2: exited abnormally", "task 0: exited"]
    assert task_words([0]) == "task 0"


def test_variables_of_an_allocation():
    job = {
        "job_id": 7, "cluster": "oracle", "name": "interactive", "nodes": "node[01-02]", "node_count": 2,
        "partition": "compute", "account": "project1", "qos": "normal",
        "job_resources": [["node01", 2, "0-1", 300, ""], ["node02", 2, "0-1", 300, ""]],
    }  # fmt: skip
    env = srun_environment.of_allocation(job, [1, 1])
    assert env["SLURM_JOB_CPUS_PER_NODE"] == "2(x2)"
    assert env["SLURM_TASKS_PER_NODE"] == "1(x2)"
    assert env["SLURM_JOB_ID"] == env["SLURM_JOBID"] == "7"
    request = JobRequest(cpus_per_task=2, memory_per_node=300)
    assert srun_environment.of_request(request) == {
        "SLURM_CPUS_PER_TASK": "2", "SLURM_TRES_PER_TASK": "cpu=2", "SLURM_MEM_PER_NODE": "300",
    }  # fmt: skip


@pytest.mark.parametrize(
    "request_, cpus, want",
    [
        (JobRequest(tasks=6), [2, 4], [2, 4]),
        (JobRequest(tasks=2), [2], [2]),
        (JobRequest(cpus_per_task=2), [2, 2], [1, 1]),
        (JobRequest(tasks_per_node=2), [4, 4], [2, 2]),
        (JobRequest(tasks=4, cpus_per_task=2), [4, 4], [2, 2]),
    ],
)
def test_tasks_of_an_allocations_nodes(request_, cpus, want):
    job = {"job_resources": [[f"node{i}", count, "", 0, ""] for i, count in enumerate(cpus)]}
    assert tasks_by_node(job, request_) == want


@pytest.mark.parametrize(
    "request_, alone, want",
    [
        (JobRequest(), True, {}),
        (JobRequest(memory_per_node=100), True, {"SLURM_DISTRIBUTION": "block"}),
        (JobRequest(), False, {"SLURM_DISTRIBUTION": "block"}),
        (JobRequest(distribution="cyclic:block"), True, {"SLURM_DISTRIBUTION": "cyclic:block"}),
        (JobRequest(distribution="block,nopack"), True, {"SLURM_DISTRIBUTION": "block,nopack"}),
        (JobRequest(distribution="plane=4"), True, {"SLURM_DISTRIBUTION": "plane", "SLURM_DIST_PLANESIZE": "4"}),
    ],
)
def test_the_distribution_tasks_are_told_of(request_, alone, want):
    assert srun_environment.distribution(request_, 3, 2, alone) == want


def test_help_needs_no_controller():
    from slurm_compat.cli import main

    def unreachable():
        raise AssertionError("the controller was called")

    out = io.StringIO()
    ctx = main.Context(["srun", "--version"], {}, "/", io.StringIO(), out, io.StringIO(), unreachable, lambda: 0.0)
    assert main.run(ctx) == 0
    assert out.getvalue().startswith("slurm-wlm ")

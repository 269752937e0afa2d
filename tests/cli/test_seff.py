"""seff's lines, and its refusals."""

from __future__ import annotations

import io

import pytest

from slurm_compat.cli import seff
from slurm_compat.cli.context import Context
from slurm_compat.core.errors import CommandError

JOB = {
    "step_id": "", "job_id": 77, "array_job_id": 0, "array_task_id": None, "cluster": "lab", "user_name": "alice",
    "group_id": 0, "job_state": "COMPLETED", "exit_code": 0, "allocated_cpus": 4, "allocated_nodes": 2, "elapsed": 3600,
    "tres_alloc_str": "cpu=4,mem=8G,node=2,billing=4", "tres_req_str": "cpu=4,mem=8G,node=2,billing=4",
    "memory_per_cpu": 2048, "usage": {}, "tasks": 0,
}  # fmt: skip


def step(**usage):
    return JOB | {"step_id": "batch", "usage": usage, "tasks": usage.pop("tasks", 1)}


STEP = step(user_cpu=7_200_000_000, system_cpu=400_000, ave_rss=2 << 30, max_rss=2 << 30, tasks=2)

CASES = [
    (JOB, [STEP], [
        "Job ID: 77", "Cluster: lab", "User/Group: alice/root", "State: COMPLETED (exit code 0)", "Nodes: 2",
        "Cores per node: 2", "CPU Utilized: 02:00:00", "CPU Efficiency: 50.00% of 04:00:00 core-walltime",
        "Job Wall-clock time: 01:00:00", "Memory Utilized: 4.00 GB",
        "Memory Efficiency: 50.00% of 8.00 GB (2.00 GB/core)",
    ]),
    (JOB | {"allocated_cpus": 1, "allocated_nodes": 1, "memory_per_cpu": None, "tres_alloc_str": "cpu=1,mem=500M",
            "job_state": "FAILED", "exit_code": 512, "elapsed": 0, "array_job_id": 70, "array_task_id": 7},
     [], [
        "Job ID: 77", "Array Job ID: 70_7", "Cluster: lab", "User/Group: alice/root", "State: FAILED (exit code 2)",
        "Cores: 1", "CPU Utilized: 00:00:00", "CPU Efficiency: 0.00% of 00:00:00 core-walltime",
        "Job Wall-clock time: 00:00:00", "Memory Utilized: 0.00 MB",
        "Memory Efficiency: 0.00% of 500.00 MB (500.00 MB/node)",
    ]),
    (JOB | {"job_state": "PENDING", "allocated_cpus": 0, "allocated_nodes": 0}, [], [
        "Job ID: 77", "Cluster: lab", "User/Group: alice/root", "State: PENDING", "Cores: 1",
        "Efficiency not available for jobs in the PENDING state.",
    ]),
    (JOB | {"job_state": "RUNNING"}, [step(ave_rss=1 << 20, max_rss=3 << 20)], [
        "Job ID: 77", "Cluster: lab", "User/Group: alice/root", "State: RUNNING", "Nodes: 2", "Cores per node: 2",
        "CPU Utilized: 00:00:00", "CPU Efficiency: 0.00% of 04:00:00 core-walltime", "Job Wall-clock time: 01:00:00",
        "Memory Utilized: 1.00 MB", "Memory Efficiency: 0.01% of 8.00 GB (2.00 GB/core)",
        "The task which had the largest memory consumption differs by 300.00% from the average task max memory "
        "consumption",
        "WARNING: Efficiency statistics can only be obtained after the job has ended as seff tool is based on the "
        "accounting database data.",
    ]),
]  # fmt: skip


@pytest.mark.parametrize("record, steps, lines", CASES)
def test_what_is_said_of_a_job(record, steps, lines):
    assert list(seff.lines(record, steps)) == lines


@pytest.mark.parametrize(
    "kib, text", [(0, "0.00 MB"), (1, "1.00 KB"), (1023, "1023.00 KB"), (1024, "1.00 MB"), (1536 * 1024, "1.50 GB")]
)
def test_sizes(kib, text):
    assert seff.size(kib) == text


class Accounting:
    def __init__(self, *records):
        self.records = records
        self.asked = {}

    def rows(self, name, fields, /, **args):
        self.asked = args
        return iter([[record[field] for field in fields] for record in self.records])


def seffs(words: str, accounting: Accounting) -> tuple[str, str, int]:
    out = io.StringIO()
    argv = ["seff", *words.split()]
    context = Context(argv, {}, "/", io.StringIO(), out, io.StringIO(), lambda: accounting, lambda: 0.0)
    try:
        code = seff.main(context)
    except CommandError as problem:
        return out.getvalue(), "\n".join(problem.lines), problem.code
    return out.getvalue(), "", code


def test_the_first_job_of_an_id_with_its_steps():
    accounting = Accounting(JOB, STEP, JOB | {"job_id": 78})
    out, _, code = seffs("-d 77.batch", accounting)
    assert code == 0
    lines = out.splitlines()
    assert lines[1] == "Slurm data: 77  alice root COMPLETED lab 4 2 8388608 0 7200 3600 4.1943e+06 0"
    assert "Memory Utilized: 4.00 GB" in lines
    assert accounting.asked == {"targets": ["77"]}


@pytest.mark.parametrize(
    "words, records, told, code",
    [
        ("5", [], "Job not found.", 2),
        ("nonsense", [], "Job not found.", 2),
        ("77", [JOB | {"array_job_id": 77}], "Badly formatted array jobid 77 with task_id = -2", 3),
        ("-z", [], "seff: invalid option -- 'z'", 1),
    ],
)
def test_refusals(words, records, told, code):
    assert seffs(words, Accounting(*records))[1:] == (told, code)

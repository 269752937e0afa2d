"""sstat over rows of running steps, and the option names that each --help lists."""

import io
import re
from pathlib import Path

import pytest
import yaml

from slurm_compat.cli import main as commands
from slurm_compat.cli import sstat
from slurm_compat.cli.context import Context
from slurm_compat.core import errors
from slurm_compat.core.errors import CommandError, SlurmError

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"

USAGE = {
    "max_rss": 1966080, "max_rss_node": "node02", "max_rss_task": 1, "ave_rss": 1959936, "max_vmsize": 3108864,
    "max_vmsize_node": "node01", "max_vmsize_task": 0, "ave_vmsize": 3108864, "min_cpu": 0, "min_cpu_node": "node01",
    "min_cpu_task": 0, "ave_cpu": 0, "max_disk_read": 4149, "ave_disk_read": 4149, "max_disk_write": 1,
    "ave_disk_write": 1,
}  # fmt: skip


def step(step_id, **changes):
    row = {
        "job_id": 7, "array_job_id": 0, "array_task_id": None, "step_id": step_id, "user_id": 2001, "nodes": "node01",
        "tasks": 1, "pids": [["node01", 0, 100]], "usage": {}, "tres_alloc_str": "cpu=1,mem=500M,node=1",
    }  # fmt: skip
    return row | changes


STEPS = [
    step("0", nodes="node[01-02]", tasks=2, pids=[["node01", 0, 101], ["node02", 1, 102]], usage=USAGE),
    step("1"),
    step("batch", pids=[["node01", 0, 90], ["node01", 0, 91]]),
    step("extern", nodes="node[01-02]", tasks=2, pids=[]),
]


class Running:
    def __init__(self, steps=STEPS):
        self.steps = steps

    def rows(self, name, fields, job_ids=()):
        if 7 not in job_ids:
            raise SlurmError(errors.INVALID_JOB_ID)
        rows = self.steps if name == "steps" else [{"job_id": 7, "sluid": "sEY5M7WJMH7700"}]
        return iter([[row[field] for field in fields] for row in rows])


def run(text, controller=None, uid=2001):
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=["sstat", *text.split()], env={}, cwd="/tmp", stdin=io.StringIO(), stdout=out, stderr=err,
        connect=lambda: controller or Running(), now=lambda: 0.0, uid=uid,
    )  # fmt: skip
    assert commands.run(ctx) == 0
    return out.getvalue().split("\n")[:-1], err.getvalue().split("\n")[:-1]


@pytest.mark.parametrize(
    "argv, want",
    [
        ("-n -j 7 -o jobid,ntasks", ["7.0                 2 "]),
        ("-nP -j 7.1,7.batch -o jobid", ["7.1", "7.batch"]),
        ("-naP 7 -o jobid,nodelist,alloctres", [
            "7.extern|node[01-02]|", "7.batch|node01|", "7.0|node[01-02]|cpu=1,mem=500M,node=1",
            "7.1|node01|cpu=1,mem=500M,node=1",
        ]),
        ("-np -i -j 7", ["7.0|node01|101|", "7.0|node02|102|"]),
        ("-nP -j 7 -o averss,maxdiskread,maxdiskwrite,avecpu,sluid", ["1914K|4149|1.00M|00:00:00|sEY5M7WJMH7700"]),
        ("-nP --noconvert -j 7 -o averss,maxrssnode,maxrsstask", ["1959936|node02|1"]),
    ],
)  # fmt: skip
def test_running_steps(argv, want):
    assert run(argv) == (want, [])


@pytest.mark.parametrize(
    "argv, error",
    [
        ("-n -j 8 -o jobid", "sstat: error: couldn't get steps for JobId=8"),
        ("-n -j 7.9 -o jobid", "sstat: error: StepId=7.9 not found running."),
    ],
)
def test_what_does_not_run(argv, error):
    assert run(argv) == ([], [error])


def test_a_job_without_numbered_steps():
    assert run("-n -j 7", Running(STEPS[2:])) == ([], ["sstat: error: No steps running for JobId=7"])


def test_use_is_not_told_to_others():
    assert run("-n -j 7.1", uid=2002) == (
        [],
        [
            "sstat: error: slurm_job_step_stat: there was an error with the request to node01 rc = Invalid user id",
            "sstat: error: problem getting step_layout for StepId=7.1: Invalid user id",
        ],
    )
    assert len(run("-nP -j 7.1", uid=0)[0]) == 1


def test_the_default_header():
    document = yaml.safe_load((GOLDEN / "sstat-forms.yaml").read_text())
    golden = next(each for each in document["steps"] if each.get("run") == "sstat -j 999999")
    assert run("-j 999999")[0] == golden["stdout"][:2]


@pytest.mark.parametrize(
    "argv, line",
    [
        ("", "sstat: error: You didn't give me any jobs to stat."),
        ("-j abc", "sstat: fatal: Bad job/step specified: abc"),
        ("-l -j 1", "sstat: invalid option -- 'l'"),
    ],
)
def test_refusals(argv, line):
    with pytest.raises(CommandError) as caught:
        sstat.asked_for(argv.split())
    assert caught.value.lines == (line,)


@pytest.mark.parametrize("command", ["sacct", "sinfo", "sstat"])
def test_help_lists_the_options_of_the_real_one(command):
    document = yaml.safe_load((GOLDEN / "help-version.yaml").read_text())
    golden = next(each for each in document["steps"] if each.get("run", "").startswith(f"{command} --help >"))
    names = {line for line in golden["stdout"] if line.startswith("--")}
    out = io.StringIO()
    ctx = Context(
        argv=[command, "--help"], env={}, cwd="/", stdin=io.StringIO(), stdout=out, stderr=out,
        connect=lambda: pytest.fail("--help needs no controller"), now=lambda: 0.0,
    )  # fmt: skip
    assert commands.run(ctx) == 0
    assert set(re.findall(r"--[a-z][a-z0-9-]+", out.getvalue())) == names

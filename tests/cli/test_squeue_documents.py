"""squeue --json and --yaml: the published shape, over the jobs that the filters leave."""

import json
import sys
from pathlib import Path

import pytest

from slurm_compat.cli.squeue_json import FIELDS
from slurm_compat.core.fields import JOB_FIELDS

sys.path.insert(0, str(Path(__file__).parent))
from fakecontroller import FakeController, job, run

sys.path.pop(0)

RESOURCES = [["node03", 2, "0-1", 1000, ""], ["node04", 1, "3", 500, "gpu:a100:1(IDX:0)"]]


def jobs():
    return FakeController(
        [
            job(21, "held", hold=True, priority=0, state_reason="JobHeldUser", max_nodes=2),
            job(
                20, "runs", job_state="RUNNING", nodes="node[03-04]", job_resources=RESOURCES, tasks=3, max_nodes=3,
                tasks_given=True, time_limit=5, tres_alloc_str="cpu=3,mem=1500M,node=2,billing=3,gres/gpu=1",
            ),
            job(30, "arr", array_job_id=30, array_task_string="1-5", array_max_tasks=2),
            job(19, "done", job_state="FAILED", exit_code=2 << 8, nodes="node01"),
        ]
    )  # fmt: skip


def document(line):
    out, err, code = run(f"squeue {line}", jobs())
    assert (err, code) == ("", 0)
    return json.loads(out)


def test_the_frame_and_the_order():
    found = document("--json")
    assert list(found) == ["jobs", "last_backfill", "last_update", "meta", "errors", "warnings"]
    assert [each["job_id"] for each in found["jobs"]] == [20, 21, 30]
    assert set(FIELDS) <= set(JOB_FIELDS)


def test_filters_hold():
    assert [each["job_id"] for each in document("--json -j 21")["jobs"]] == [21]
    assert [each["job_id"] for each in document("--json -t F")["jobs"]] == [19]


STARTED = [
    "EXACT_TASK_COUNT_REQUESTED", "ACCRUE_COUNT_CLEARED", "JOB_WAS_RUNNING", "USING_DEFAULT_ACCOUNT",
    "USING_DEFAULT_PARTITION", "USING_DEFAULT_QOS", "USING_DEFAULT_WCKEY", "PARTITION_ASSIGNED",
    "JOB_IMPLICIT_MAX_NODES",
]  # fmt: skip


def number(value):
    return {"set": True, "infinite": False, "number": value}


@pytest.mark.parametrize(
    "job_id, key, value",
    [
        (20, "job_state", ["RUNNING"]),
        (20, "time_limit", number(5)),
        (21, "time_limit", {"set": False, "infinite": True, "number": 0}),
        (20, "billable_tres", number(3.0)),
        (21, "billable_tres", {"set": False, "infinite": False, "number": 0.0}),
        (20, "max_nodes", number(0)),
        (21, "max_nodes", number(2)),
        (21, "job_resources", None),
        (30, "array_task_string", "1-5%2"),
        (20, "flags", STARTED),
        (20, "mail_user", "alice"),
        (20, "standard_output", "slurm-%j.out"),
        (30, "standard_output", "slurm-%A_%a.out"),
    ],
)
def test_values(job_id, key, value):
    found = {each["job_id"]: each for each in document("--json")["jobs"]}
    assert found[job_id][key] == value


def test_the_nodes_of_a_job():
    resources = document("--json -j 20")["jobs"][0]["job_resources"]
    assert (resources["cpus"], resources["nodes"]["list"]) == (3, "node[03-04]")
    first, second = resources["nodes"]["allocation"]
    assert (first["memory"]["allocated"], [core["index"] for core in first["sockets"][0]["cores"]]) == (
        1000,
        [0, 1, 2, 3],
    )
    assert [core["status"] for core in second["sockets"][0]["cores"]] == [["UNALLOCATED"]] * 3 + [["ALLOCATED"]]


def test_yaml_begins_as_slurms():
    out, _, code = run("squeue --yaml", jobs())
    assert out.split("\n")[:4] == ["%YAML 1.1", "--- !!map", "!!str jobs: !!seq", "- !!map"]
    assert code == 0

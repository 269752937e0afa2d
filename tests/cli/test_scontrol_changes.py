"""scontrol create and delete, a task's record, a session on standard input. Words as 26.05 has them."""

import sys
from pathlib import Path

import pytest

from slurm_compat.cli.scontrol_update import cpu_range, new_limit
from slurm_compat.core.errors import BadValue

sys.path.insert(0, str(Path(__file__).parent))
from fakecontroller import FakeController, job, run

sys.path.pop(0)


class Partitions(FakeController):
    """Takes partition calls as they come."""

    def call(self, called, /, **args):
        self.asked.append((called, args))
        return {"errors": []}


@pytest.mark.parametrize(
    "line, name, changes",
    [
        ("create partitionname=new nodes=node[02-03] maxtime=1:00:00 default=no", "new",
         {"nodes": "node[02-03]", "max_time": 60, "default": False, "create": True}),
        ("create nodes=node01 PartitionName=p", "p", {"nodes": "node01", "create": True}),
        ("delete partition=new", "new", {"delete": True}),
        ("delete partition new", "new", {"delete": True}),
        ("delete PartitionName=new", "new", {"delete": True}),
    ],
)  # fmt: skip
def test_partitions_are_made_and_removed(line, name, changes):
    controller = Partitions([])
    assert run(f"scontrol {line}", controller) == ("", "", 0)
    assert controller.asked == [("update_partition", {"name": name, "changes": changes})]


@pytest.mark.parametrize(
    "line, err",
    [
        ("create", "too few arguments for create keyword"),
        ("create bogus=1", "scontrol: error: Invalid creation entity: bogus=1"),
        ("create partition p4 nodes=node01", "scontrol: error: Invalid input: partition  Request aborted"),
        ("create partitionname=", "Error creating the partition: Invalid partition name specified"),
        ("delete", "too few arguments for delete keyword"),
        ("delete partition", "scontrol: error: Proper format is 'delete <ENTITY>=<ID>' or 'delete <ENTITY> <ID>'"),
        ("delete job=1", "Invalid deletion entity: job=1"),
    ],
)
def test_what_can_not_be_made_or_removed(line, err):
    controller = Partitions([])
    assert run(f"scontrol {line}", controller) == ("", err + "\n", 1)
    assert controller.asked == []


def array():
    return FakeController([job(30, "a", array_job_id=30, array_task_string="1-2,4-6", array_max_tasks=2)])


def test_a_task_in_its_arrays_record_is_shown_alone():
    out, err, code = run("scontrol show job 30_4", array())
    assert (err, code) == ("", 0)
    assert out.startswith("JobId=30 ArrayJobId=30 ArrayTaskId=4 ")


@pytest.mark.parametrize(
    "name, err",
    [
        ("30_3", "Job 30_3 not found"),
        ("30_9", "Job 30_9 not found"),
        ("30_[1-2]", "scontrol_print_job error: Invalid job id specified"),
    ],
)
def test_tasks_that_can_not_be_shown(name, err):
    assert run(f"scontrol show job {name}", array()) == ("", err + "\n", 1)


def test_a_session_shows_what_it_reads():
    out, err, code = run("scontrol", array(), stdin="show hostnames z[1-2]\n\nbogus\nversion\n")
    assert out == "scontrol: show hostnames z[1-2]\nz1\nz2\nscontrol: \nscontrol: bogus\nscontrol: version\n" + (
        "slurm-wlm 26.05.5\nscontrol: \n"
    )
    assert (err, code) == ("invalid keyword: bogus\n", 1)


def test_no_host_list_is_an_error_that_counts_as_done():
    assert run("scontrol show hostnames", array()) == ("", "scontrol: error: host list is empty\n", 0)


def test_a_step_is_updated_as_such():
    assert run("scontrol update jobid=30.0 timelimit=5", array())[1:] == (
        "Invalid job id specified for job 30.0\n", 1,
    )  # fmt: skip
    controller = array()
    controller.refusals["30.7"] = (2017, "Invalid job id specified")
    assert run("scontrol update stepid=30.7 timelimit=5", controller)[1:] == (
        "slurm_update error: Invalid job id specified\n", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "value, want", [("0", 0), ("0:0", 0), ("0-0", 0), ("5", 5), ("-1", "-1"), ("-0", "-0"), ("+1:30", "+2")]
)
def test_a_jobs_new_time_limit(value, want):
    assert new_limit(value, 0.0) == want


def test_cpus_from_fewest_to_most():
    assert cpu_range("2-4", 0.0) == [2, 4]
    with pytest.raises(BadValue):
        cpu_range("4-2", 0.0)

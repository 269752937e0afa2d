"""Which mails are sent and what their subjects say; as recorded of 26.05 with a MailProg that wrote them down."""

import sys
from pathlib import Path

import msgspec
import pytest

from slurm_compat.controller import mail
from slurm_compat.controller.table import Table
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.model import JobRequest
from slurm_compat.store.changes import Change

sys.path.insert(0, str(Path(__file__).parent))
from jobsmade import job

sys.path.pop(0)

ALL = ["INVALID_DEPEND", "BEGIN", "END", "FAIL", "REQUEUE", "STAGE_OUT"]


def mailed(*types, **known):
    values = {"name": "n", "start_time": 1005, "end_time": 1010, "node_count": 1, "nodes": "node01"} | known
    return job(7, request=JobRequest(batch=True, mail_type=list(types)), **values)


def told(one, kind, *others, now=2000):
    """The subject, "" for no mail."""
    table = Table()
    for each in (one, *others):
        table.put(Change(), each)
    kind, tasks = mail.decided(one, kind, table)
    return mail.subject(one, kind, now, tasks) if kind else ""


@pytest.mark.parametrize(
    "types, kind, known, want",
    [
        (ALL, "BEGIN", {"state": "RUNNING", "end_time": 0}, "@Began, Queued time 00:00:05"),
        (ALL, "END", {"state": "COMPLETED"}, "@Ended, Run time 00:00:05, COMPLETED, ExitCode 0"),
        (["END"], "END", {"state": "FAILED", "exit_code": 768}, "@Ended, Run time 00:00:05, FAILED, ExitCode 3"),
        (["FAIL"], "END", {"state": "FAILED", "exit_code": 768}, "@Failed, Run time 00:00:05, FAILED, ExitCode 3"),
        (["FAIL"], "END", {"state": "COMPLETED"}, ""),
        (["END", "FAIL"], "END", {"state": "FAILED", "exit_code": 9}, "@Failed, Run time 00:00:05, FAILED"),
        (ALL, "END", {"state": "CANCELLED", "exit_code": 15}, "@Ended, Run time 00:00:05, CANCELLED, ExitCode 0"),
        (["FAIL"], "END", {"state": "CANCELLED"}, ""),
        (ALL, "END", {"state": "CANCELLED", "start_time": 1010}, "@Ended, Run time 00:00:00, CANCELLED, ExitCode 0"),
        (ALL, "END", {"state": "TIMEOUT", "exit_code": 15}, "@Failed, Run time 00:00:05, TIMEOUT, ExitCode 0"),
        (["END"], "END", {"state": "TIMEOUT"}, "@Ended, Run time 00:00:05, TIMEOUT, ExitCode 0"),
        (ALL, "END", {"state": "DEADLINE", "start_time": 1010}, "@Failed, Run time 00:00:00, DEADLINE"),
        (ALL, "END", {"state": "NODE_FAIL"}, "@Failed, Run time 00:00:05, NODE_FAIL"),
        (ALL, "REQUEUE", {"state": "RUNNING"}, "@Requeued, Run time 00:00:05"),
        (ALL, "INVALID_DEPEND", {"start_time": 0}, "@Invalid dependency"),
        (["END"], "INVALID_DEPEND", {}, ""),
        (["TIME_LIMIT_80"], "TIME_LIMIT_80", {"state": "RUNNING", "end_time": 0},
         "@Reached 80% of time limit, Run time 00:16:35"),
        (["TIME_LIMIT"], "TIME_LIMIT", {"state": "TIMEOUT"}, "@Reached time limit, Run time 00:00:05"),
        (ALL, "TIME_LIMIT_80", {"state": "RUNNING"}, ""),
    ],
)  # fmt: skip
def test_subjects(types, kind, known, want):
    assert told(mailed(*types, **known), kind) == want.replace("@", "Slurm Job_id=7 Name=n ")


def task(number, job_id, types=ALL, **known):
    known = {"array_job_id": 7, "array_task_id": number, "state": "COMPLETED"} | known
    return msgspec.structs.replace(mailed(*types, **known), job_id=job_id, db_index=job_id)


@pytest.mark.parametrize(
    "types, codes, want",
    [
        (ALL, (0, 256), "Slurm Array Summary Job_id=7_* (7) Name=n Failed, Mixed, ExitCode [0-1]"),
        (ALL, (0, 0), "Slurm Array Summary Job_id=7_* (7) Name=n Ended, COMPLETED, ExitCode [0-0]"),
        (["END"], (256, 256), "Slurm Array Summary Job_id=7_* (7) Name=n Ended, FAILED, ExitCode [1-1]"),
        (["FAIL"], (0, 512), "Slurm Array Summary Job_id=7_* (7) Name=n Failed, Mixed, ExitCode [0-2]"),
        (["FAIL"], (0, 0), ""),
    ],
)
def test_an_array_is_told_of_when_its_last_task_has_ended(types, codes, want):
    first, last = (
        task(number, 7 + number % 2, types, exit_code=code, state="FAILED" if code else "COMPLETED")
        for number, code in enumerate(codes, 1)
    )
    assert told(last, "END", first) == want
    running = msgspec.structs.replace(first, state="RUNNING", end_time=0)
    assert told(last, "END", running) == ""


def test_an_array_begins_with_its_first_task():
    one = task(1, 8, state="RUNNING")
    waiting = task(2, 7, state="PENDING", start_time=0)
    assert told(one, "BEGIN", waiting) == "Slurm Array Summary Job_id=7_* (7) Name=n Began"
    assert told(one, "BEGIN", task(2, 7, state="RUNNING")) == ""


def test_a_cancelled_array():
    record = mailed(*ALL, array_job_id=7, array_ranges=[(1, 3, 1)], state="CANCELLED")
    assert told(record, "END") == "Slurm Array Summary Job_id=7_* (7) Name=n Ended, Mixed, MaxSignal [9]"


def test_tasks_one_by_one():
    types = [*ALL, "ARRAY_TASKS"]
    one, other = task(1, 8, types, exit_code=256, state="FAILED"), task(2, 7, types, state="RUNNING")
    assert told(one, "END", other) == (
        "Slurm Array Task Job_id=7_1 (8) Name=n Failed, Run time 00:00:05, FAILED, ExitCode 1"
    )
    assert told(other, "BEGIN", one) == "Slurm Array Task Job_id=7_2 (7) Name=n Began, Queued time 00:00:05"


def test_what_the_program_is_told():
    one = mailed(*ALL, state="FAILED", exit_code=768, account="project1", qos="normal")
    data = mail.message(one, "FAIL", ClusterConf(cluster_name="oracle", mail_domain="example.org"), 2000)
    assert data["to"] == "alice@example.org"
    wanted = {
        "SLURM_CLUSTER_NAME": "oracle",
        "SLURM_JOBID": "7",
        "SLURM_JOB_EXIT_CODE": "768",
        "SLURM_JOB_EXIT_CODE2": "3:0",
        "SLURM_JOB_EXIT_CODE_MAX": "3",
        "SLURM_JOB_MAIL_TYPE": "Failed",
        "SLURM_JOB_NODELIST": "node01",
        "SLURM_JOB_RUN_TIME": "00:00:05",
        "SLURM_JOB_STATE": "FAILED",
        "SLURM_JOB_STDIN": "/dev/null",
        "SLURM_JOB_STDOUT": "slurm-%j.out",
    }
    assert wanted.items() <= data["environment"].items()


@pytest.mark.parametrize(
    "to, sent",
    [
        ("alice", True), ("alice@example.org", True), ("a@b,c.d+e@f", True), ("a b", True), ("Ünal@x", True),
        ("|touch /tmp/x", False), ("/etc/cron.d/x", False), ("+folder", False), ("-Xfile", False), ("a,|sh", False),
        ("a `id`", False), ("a\n|sh", False), ("\\root", False), ("", False), (", ,", False), ("a@b,/etc/x", False),
    ],
)  # fmt: skip
def test_only_people_get_mail(to, sent):
    """Mail programs write to a file, or start a command, that a recipient names, as the controller's user."""
    assert mail.is_address(to) is sent


def test_a_name_begins_no_header():
    subject = told(mailed("END", name="a\nBcc: root\r\n\x1b[31m", state="COMPLETED"), "END")
    assert subject.startswith("Slurm Job_id=7 Name=a Bcc: root   [31m Ended, Run time 00:00:05")

"""scancel: what it asks the controller for, its words and exit codes as recorded from the real one."""

from __future__ import annotations

import pwd
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from slurm_compat.cli import scancel
from slurm_compat.core import errors

sys.path.insert(0, str(Path(__file__).parent))
from fakecontroller import USERS, FakeController, job, run

sys.path.pop(0)

UNKNOWN = (errors.INVALID_JOB_ID, errors.TEXT[errors.INVALID_JOB_ID])
DONE = (errors.ALREADY_DONE, errors.TEXT[errors.ALREADY_DONE])
DENIED = (errors.ACCESS_DENIED, errors.TEXT[errors.ACCESS_DENIED])
INVALID = "scancel: error: Kill job error on job id {}: Invalid job id specified\n"


@pytest.fixture(autouse=True)
def _users(monkeypatch):
    def named(name):
        if name not in USERS:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=USERS[name])

    monkeypatch.setattr(pwd, "getpwnam", named)


def jobs():
    return [
        job(7, "one"),
        job(8, "two", job_state="RUNNING", nodes="node[01-02]", qos="high"),
        job(9, "two", user_id=2002, user_name="bob", account="project2", partition="debug"),
        job(10, "arr", array_job_id=10, array_task_string="2-5", array_max_tasks=2),
        job(11, "arr", array_job_id=10, array_task_id=1, job_state="RUNNING"),
        job(12, "old", job_state="COMPLETED"),
    ]


def cancel(line, stdin="", env=None, refusals=None):
    controller = FakeController(jobs())
    controller.refusals = refusals or {}
    out, err, code = run(f"scancel {line}", controller, env, stdin)
    asked = [{name: value for name, value in args.items()} for name, args in controller.asked if name == "cancel"]
    return out, err, code, asked


@pytest.mark.parametrize(
    "line, targets",
    [
        ("7", ["7"]),
        ("7 8", ["7", "8"]),
        ("7,8", ["7", "8"]),
        ("10_3", ["10_3"]),
        ("10_[3-4]", ["10_3", "10_4"]),
        ("10_*", ["10"]),
        ("10_", ["10"]),
        ("7+", ["7"]),
        ("s6KNM7WE9P5Y00", ["s6KNM7WE9P5Y00"]),
        ("-u alice", ["7", "8", "10_[2-5]", "10_1"]),
        ("--me", ["7", "8", "10_[2-5]", "10_1"]),
        ("-u 2002", ["9"]),
        ("-n two", ["8", "9"]),
        ("-n two -u alice", ["8"]),
        ("-n two 7 9", ["9"]),
        ("-p debug", ["9"]),
        ("-A project2", ["9"]),
        ("-q high", ["8"]),
        ("-t PENDING", ["7", "9", "10_[2-5]"]),
        ("-t r", ["8", "10_1"]),
        ("-w node02", ["8"]),
        ("-w node[02-03]", ["8"]),
        ("-u alice 10_3", ["10_3"]),
        ("-u alice 10", ["10_[2-5]", "10_1"]),
        ("8.0", ["8.0"]),
        ("8.", ["8.0"]),
        ("10_1.3", ["10_1.3"]),
        ("-u alice", ["7", "8", "10_[2-5]", "10_1"]),
        ("--ctld -n two", ["8", "9"]),
        ("-M oracle 7", ["7"]),
    ],
)
def test_what_is_cancelled(line, targets):
    out, err, code, asked = cancel(line)
    assert (out, err, code) == ("", "", 0)
    assert [each["targets"] for each in asked] == [targets]


@pytest.mark.parametrize(
    "line, arguments",
    [
        ("-s USR1 8", {"signal": 10}),
        ("--signal=15 8", {"signal": 15}),
        ("-b -s 10 8", {"signal": 10, "batch": True}),
        ("-f -s usr1 8", {"signal": 10, "full": True}),
        ("--hurry 8", {"hurry": True}),
        ("-c 8", {"cron": True}),
        ("--admin-comment=why 8", {"admin_comment": "why"}),
    ],
)
def test_how_it_is_cancelled(line, arguments):
    _, err, code, asked = cancel(line)
    assert (err, code) == ("", 0)
    assert asked == [{"targets": ["8"]} | arguments]


@pytest.mark.parametrize(
    "line, refusals, err, code",
    [
        # ids alone: unknown and ended ones are no error, and only -v tells
        ("99", {"99": UNKNOWN}, "", 0),
        ("98 99", {"98": UNKNOWN, "99": UNKNOWN}, "", 0),
        ("-Q -v 99", {"99": UNKNOWN}, "", 0),
        ("-v 99", {"99": UNKNOWN}, "scancel: Terminating job 99\n" + INVALID.format(99), 0),
        ("--ctld -v 99", {"99": UNKNOWN}, INVALID.format(99), 0),
        ("-v 12", {"12": DONE}, "scancel: Terminating job 12\n"
         "scancel: error: Kill job error on job id 12: Job/step already completing or completed\n", 0),
        ("9", {"9": DENIED}, "scancel: error: Kill job error on job id 9: Access/permission denied\n", 210),
        ("-u bob", {"9": DENIED}, "scancel: error: Kill job error on job id 9: Access/permission denied\n", 210),
        # looked up first
        ("99.0", {}, "scancel: error: Kill job error on job step id 99.0: Invalid job id specified\n", 1),
        ("8.7", {"8.7": UNKNOWN}, "scancel: error: Kill job error on job step id 8: Invalid job id specified\n", 225),
        ("-Q 8.7", {"8.7": UNKNOWN}, "", 225),
        ("-s 10 99", {}, INVALID.format(99), 1),
        ("-i 99", {}, INVALID.format(99), 1),
        ("-t CG 99", {}, INVALID.format(99), 1),
        ("7 99 8.0", {}, INVALID.format(99), 1),
        ("-v -t R 7", {}, "scancel: error: No active jobs match ALL job filters, including: state=RUNNING \n", 0),
        ("-v -n no", {}, "scancel: error: No active jobs match ALL job filters, including: job_name=no \n", 0),
        ("-v -u alice -t R -s 10 -w node05 -p x -q y -R z --wckey=w -A a", {},
         "scancel: error: No active jobs match ALL job filters, including: account=a nodelist=node05 partition=x "
         "qos=y reservation=z state=RUNNING user_name=alice wckey=w \n", 0),
        ("-v -s CONT 8", {}, "scancel: Signal 18 to job 8\n", 0),
        ("-v -f -s CONT 8", {}, "scancel: Signal 18 to full job 8\n", 0),
        ("-v -b -s CONT 8", {}, "scancel: Signal 18 to batch job 8\n", 0),
        ("-v 8.0", {}, "scancel: Terminating step 8.0\n", 0),
        ("-v -n arr", {}, "scancel: Terminating job 10_[2-5%2]\nscancel: Terminating job 10_1\n", 0),
        ("-v 10_[2,9] -n arr", {}, INVALID.format("10_9") + "scancel: Terminating job 10_2\n", 1),
        ("--sibling=x 7", {}, "scancel: error: Kill job error on job id 7: Not a valid federated job\n", 191),
    ],
)  # fmt: skip
def test_words_and_exit_codes(line, refusals, err, code):
    _, stderr, got, _ = cancel(line, refusals=refusals)
    assert (stderr, got) == (err, code)


@pytest.mark.parametrize(
    "line, err",
    [
        ("", "scancel: error: No job identification provided"),
        ("abc", "scancel: error: Invalid job id abc"),
        ("12x", "scancel: error: Invalid job id 12x"),
        ("7 abc", "scancel: error: Invalid job id abc"),
        ("0", "scancel: error: Invalid job id 0"),
        ("sXX", "scancel: error: Invalid SLUID sXX"),
        ("8.batch", "scancel: error: Invalid job id 8.batch"),
        ("10_[1-", "scancel: error: Invalid job id 10_[1-"),
        ("10_x", "scancel: error: Invalid job id 10_x"),
        ("10_[1-3],7", "scancel: error: Invalid job id 10_[1-3],7"),
        ("10_[1-3].0", "scancel: error: Invalid job id 10_[1-3].0"),
        ("10_[1-9:3]", "scancel: error: Invalid job id 10_[1-9:3]"),
        ("-Q abc", "scancel: error: Invalid job id abc"),
        ("-1", "scancel: invalid option -- '1'\nTry \"scancel --help\" for more information"),
        ("--bogus", "scancel: unrecognized option '--bogus'\nTry \"scancel --help\" for more information"),
        ("-t BOGUS", "Invalid job state specified: BOGUS\nValid job states are PENDING, RUNNING, and SUSPENDED"),
        ("-s NOSIG 7", "Unknown job signal: NOSIG"),
        ("-s 0 7", "Unknown job signal: 0"),
        ("-u nosuchuser", "scancel: error: Invalid user name: nosuchuser"),
        ("-M nosuch 7", "scancel: error: No cluster 'nosuch' known by database.\nscancel: error: 'nosuch' can't be "
         "reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list clusters' to see available "
         "clusters.\nscancel: fatal: Could not get cluster information"),
    ],
)  # fmt: skip
def test_refusals(line, err):
    out, stderr, code, asked = cancel(line)
    assert (out, stderr, code, asked) == ("", err + "\n", 1, [])


QUESTION = "Cancel job_id={} name={} partition=compute [y/n]? "


@pytest.mark.parametrize(
    "line, stdin, out, targets",
    [
        ("-i 7", "n\n", QUESTION.format(7, "one"), None),
        ("-i 7", "y\n", QUESTION.format(7, "one"), ["7"]),
        ("-i 7", "yes\n", QUESTION.format(7, "one"), ["7"]),
        ("-i 7", "x\nY\n", QUESTION.format(7, "one") * 2, ["7"]),
        ("-i 7", "", QUESTION.format(7, "one"), None),  # the end of the input is no
        ("-i 7 8", "n\ny\n", QUESTION.format(7, "one") + QUESTION.format(8, "two"), ["8"]),
        ("-i 10", "n\ny\n", QUESTION.format("10_[2-5%2]", "arr") + QUESTION.format("10_1", "arr"), ["10_1"]),
        ("-i 8.0", "y\n", "Cancel step_id=8.0 name=two partition=compute [y/n]? ", ["8.0"]),
    ],
)
def test_questions(line, stdin, out, targets):
    stdout, err, code, asked = cancel(line, stdin)
    assert (stdout, err, code) == (out, "", 0)
    assert [each["targets"] for each in asked] == ([targets] if targets else [])


@pytest.mark.parametrize(
    "env, line, targets, err",
    [
        ({"SCANCEL_USER": "bob"}, "", ["9"], ""),
        ({"SCANCEL_NAME": "two"}, "", ["8", "9"], ""),
        ({"SCANCEL_STATE": "R"}, "-n two", ["8"], ""),
        ({"SCANCEL_PARTITION": "debug", "SCANCEL_ACCOUNT": "project2"}, "", ["9"], ""),
        ({"SCANCEL_QOS": "high"}, "", ["8"], ""),
        ({"SCANCEL_VERBOSE": "true"}, "7", ["7"], "scancel: Terminating job 7\n"),
        ({"SCANCEL_VERBOSE": "2"}, "7", ["7"], "scancel: error: Unrecognized SCANCEL_VERBOSE value: 2\n"),
        ({"SCANCEL_BATCH": "False"}, "7", ["7"], ""),
    ],
)
def test_variables(env, line, targets, err):
    _, stderr, code, asked = cancel(line, env=env)
    assert (stderr, code) == (err, 0)
    assert [each["targets"] for each in asked] == [targets]


def test_a_job_in_transition_is_tried_again(monkeypatch):
    pauses = []
    controller = FakeController(jobs())
    controller.refusals = {"7": (errors.TRANSITION_STATE_NO_UPDATE, "Job is in transition")}

    def pause(seconds):
        pauses.append(seconds)
        controller.refusals.clear()

    monkeypatch.setattr(scancel.time, "sleep", pause)
    _, err, code = run("scancel -v -s TERM 7", controller)
    assert (err, code) == ("scancel: Signal 15 to job 7\nscancel: Job is in transitional state, retrying\n", 0)
    assert pauses == [scancel.FIRST_PAUSE]


def test_settings_are_shown_at_three_v():
    _, err, _, _ = cancel("-vvv -n foo 7 10_[2-3] 8.0")
    assert err.splitlines()[7:8] == ["scancel: job_name       : foo"]
    assert "scancel: job_id[1]      : 10_2" in err and "scancel: job_step_id[3] : 8.0" in err


@pytest.mark.parametrize("line", ["--help", "--usage", "--version"])
def test_answers_need_no_controller(line):
    out, err, code = run(f"scancel {line}", None)
    assert out and not err and code == 0


@pytest.mark.parametrize(
    "line, err, code, targets",
    [
        ("99999999999", "", 0, []),
        ("4294967294 7", "", 0, ["7"]),
        ("18446744073709551616 99999999999_[1-2] 99999999999+1", "", 0, []),
        ("-v 99999999999_1", "scancel: Terminating job 99999999999_1\n" + INVALID.format("99999999999_1"), 0, []),
        ("-s USR1 99999999999", INVALID.format("1215752191"), 1, []),
        ("-n foo 99999999999", INVALID.format("1215752191"), 1, []),
        ("--ctld 99999999999", INVALID.format("1215752191"), 1, []),
        ("99999999999.1", INVALID.format("1215752191.1").replace("job id", "job step id", 1), 1, []),
        ("-Q 99999999999.0", "", 1, []),
    ],
)
def test_ids_that_no_job_can_have(line, err, code, targets):
    _, said, ended, asked = cancel(line)
    assert (said, ended) == (err, code)
    assert [text for each in asked for text in each["targets"]] == targets

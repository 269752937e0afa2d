"""The same month of jobs gives the tables slurmdbd's roll-ups gave, to the second, and the reports sreport printed."""

from __future__ import annotations

import asyncio
import io
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from slurm_compat.cli import sreport, sreport_reports
from slurm_compat.cli.context import Context
from slurm_compat.controller import reports
from slurm_compat.controller.rollup import ASSOCIATION, HOUR, WCKEY, ClusterHour, Run, Window
from slurm_compat.core.errors import CommandError

sys.path.insert(0, str(Path(__file__).parent))
import month
from month import HERE, RECORDED, at

sys.path.pop(0)

NOW = at("2026-11-20T16:07:21")


def recorded(name: str) -> list[dict]:
    return yaml.load((HERE / name).read_text(), yaml.CSafeLoader)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def controllers():
    return {further: month.Controller(further) for further in (False, True)}


def test_every_hour_of_the_cluster_adds_up_as_recorded():
    found = {hour.start: hour.cluster for hour in month.hours(month.runs())}
    wrong = []
    for start, tres, *want in RECORDED["hours"]:
        of = found[start][tres]
        ours = [of.count, of.alloc, of.down, of.pdown, of.idle, of.plan, of.over]
        if ours != want:
            wrong.append((start, tres, ours, want))
    assert not wrong
    assert len(RECORDED["hours"]) > 500


@pytest.mark.parametrize("kind, key", [(ASSOCIATION, "associations"), (WCKEY, "wckeys")])
def test_october_is_charged_to_whom_it_was_charged(kind, key):
    sums: dict[tuple[str, str, str], int] = {}
    for hour in month.hours(month.runs(), "2026-10-01T00:00:00", "2026-11-01T00:00:00"):
        for ((of, first, second), tres), seconds in hour.used.items():
            if of == kind:
                sums[first, second, tres] = sums.get((first, second, tres), 0) + seconds
    assert RECORDED[key]
    for first, second, tres, seconds in RECORDED[key]:
        assert sums.get((first, second, tres), 0) == seconds, (first, second, tres)


def answer(line: str, controller: month.Controller, stdin: str = "") -> tuple[str, str, int]:
    out, err = io.StringIO(), io.StringIO()
    context = Context(shlex.split(line), {}, "/", io.StringIO(stdin), out, err, lambda: controller, lambda: NOW)
    try:
        code = sreport.main(context)
    except CommandError as problem:
        code = problem.code
        err.write("".join(f"{text}\n" for text in problem.lines))
    return out.getvalue(), err.getvalue(), code


@pytest.mark.parametrize("name, further", [("recorded_sreport.yaml", False), ("recorded_sreport_accounts.yaml", True)])
def test_reports_read_as_recorded(name, further, controllers, monkeypatch):
    names = {"root": "root"} | ({"alice": "Alice A. Example"} if further else {})
    monkeypatch.setattr(sreport_reports, "proper_name", lambda user: names.get(user, ""))
    wrong = []
    for step in recorded(name):
        got = answer(step["run"], controllers[further])
        want = (step.get("stdout", ""), step.get("stderr", ""), step.get("rc", 0))
        if got != want:
            wrong.append((step["run"], want, got))
    assert not wrong, wrong[0]


CONVERSATIONS = [  # stdin, stdout, stderr, exit code: recorded
    ("version\n", "sreport: version\nslurm-wlm 26.05.5\nsreport: \n", "", 0),
    ("cluster\nexit\n", "sreport: cluster\nsreport: exit\n", "too few arguments for keyword:cluster\n", 1),
    ("foo bar\nquit\n", "sreport: foo bar\nsreport: quit\n", "invalid keyword: foo\n", 1),
    ("", "sreport: \n", "", 0),
    ("\n\nversion\n", "sreport: \nsreport: \nsreport: version\nslurm-wlm 26.05.5\nsreport: \n", "", 1),
    (
        "time foo\ntime\nexit foo\n",
        "sreport: time foo\nsreport: time\nsreport: exit foo\n",
        "unknown time format footoo few arguments for keyword:time\ntoo many arguments for keyword:exit\n",
        1,
    ),
]


@pytest.mark.parametrize("stdin, out, err, code", CONVERSATIONS)
def test_a_conversation(stdin, out, err, code, controllers):
    got = answer("sreport", controllers[False], stdin)
    assert got[1:] == (err, code)
    assert got[0] in (out, out + "sreport: \n")  # who was told to leave in words it refused is asked again


def test_a_repeated_command_keeps_what_was_set(controllers):
    report = "cluster utilization start=2026-10-01 end=2026-11-01"
    out, err, code = answer("sreport", controllers[False], f"time hours\n{report}\n!!\n")
    assert (err, code) == ("", 0)
    assert out.count("Usage reported in CPU Hours") == 2
    assert out.count("   oracle     2084     1122        8    11535      131    14880 \n") == 2


# what no recording has


def run(**values) -> Run:
    from slurm_compat.controller.rollup import Asked

    given = {"user_name": "alice", "account": "a", "qos": "normal", "nodes": "n1", "tres_alloc_str": "cpu=2,billing=2"}
    return Run(**{"request": Asked(), **given, **values})


def test_suspended_time_and_what_goes_on_are_spread():
    window = Window(0, 2 * HOUR, {"cpu": 4})
    window.job(run(start_time=1, end_time=7201, suspended_for=3600))
    first, second = window.settled()
    assert first.cluster["cpu"].alloc == 3599
    assert second.cluster["cpu"].alloc == 3600
    window = Window(0, 2 * HOUR, {"cpu": 4})
    window.job(run(start_time=HOUR))  # still runs
    assert [hour.cluster["cpu"].alloc for hour in window.settled()] == [0, 2 * HOUR]


def test_a_cluster_that_began_in_the_middle_of_an_hour_has_less_of_it():
    (hour,) = Window(0, HOUR, {"cpu": 4}, since=1800).settled()
    assert (hour.cluster["cpu"].total, hour.cluster["cpu"].idle) == (7200, 7200)
    assert Window(0, HOUR, {"cpu": 4}, since=HOUR).settled()[0].cluster == {}


@pytest.mark.parametrize(
    "counted, settled",
    [
        ({"alloc": 60, "down": 60}, {"alloc": 60, "down": 40, "idle": 0}),
        ({"alloc": 150, "down": 10, "pdown": 10}, {"alloc": 100, "down": 0, "pdown": 0, "idle": 0}),
        ({"alloc": 10, "plan": 120}, {"plan": 90, "over": 30, "idle": 0}),
        ({"down": 20, "plan": 30}, {"plan": 30, "over": 0, "idle": 50}),
    ],
)
def test_an_hour_is_made_to_add_up(counted, settled):
    hour = ClusterHour(1, 100, **counted)
    hour.settle()
    for part, value in settled.items():
        assert getattr(hour, part) == value
    assert hour.alloc + hour.down + hour.pdown + hour.idle + hour.plan == 100


@pytest.mark.parametrize("what", ["user_by_wckey", "wckey_by_user"])
def test_use_by_workload_key_is_for_operators(what):
    user = SimpleNamespace(caller=SimpleNamespace(operator=False))

    class Asked:
        def call(self, name, **args):
            return asyncio.run(getattr(reports, name)(None, user, SimpleNamespace(**args)))

    inquiry = SimpleNamespace(window=SimpleNamespace(start=0, end=3600), ctx=SimpleNamespace(controller=Asked()))
    with pytest.raises(CommandError) as refused:
        getattr(sreport_reports, what)(inquiry)
    assert list(refused.value.lines) == [
        "sreport: error: Your user doesn't have privilege to perform this action",
        f"slurmdb_report_cluster_{what}: Problem with get query.",
    ]

"""squeue against the transcripts of the real one, over rows of the same jobs; no controller runs."""

from __future__ import annotations

import pwd
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from slurm_compat.cli import squeue, squeue_columns, squeue_options
from slurm_compat.core.errors import CommandError
from slurm_compat.core.fields import JOB_FIELDS, STEP_FIELDS

sys.path.insert(0, str(Path(__file__).parent))
from fakecontroller import NOW, USERS, FakeController, job, run, step

sys.path.pop(0)

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    def named(name):
        if name not in USERS:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=USERS[name])

    monkeypatch.setattr(pwd, "getpwnam", named)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


RUNNING = {
    "job_state": "RUNNING", "start_time": NOW - 8, "run_time": 8, "node_count": 2, "cpus": 8, "tasks": 2,
    "tres_alloc_str": "cpu=8,mem=4000M,node=2,billing=8",
}  # fmt: skip
BOB = {"user_id": 2002, "user_name": "bob", "account": "project2"}
HELD = {"state_reason": "JobHeldUser", "priority": 0, "priority_weight": 0.0}


def population():
    """The jobs of the transcript squeue-population."""
    return [
        job(20300, "runa", nodes="node[03-04]", batch_host="node03", time_limit=120, **RUNNING),
        job(20301, "runb", nodes="node[01-02]", batch_host="node01", time_limit=1440, **BOB, **RUNNING),
        job(20302, "res", node_count=4, cpus=4, time_limit=10, state_reason="Resources"),
        job(20303, "prio", time_limit=10, state_reason="Priority"),
        job(20304, "held", cpus=3, tasks=3, memory_per_cpu=None, memory_per_node=1024, time_limit=4560,
            comment="remark", tres_req_str="cpu=3,mem=1G,node=1,billing=3", **HELD),
        job(20305, "later", partition="debug", state_reason="BeginTime", start_time=1925089445, time_limit=30),
        job(20306, "dep", state_reason="Dependency", dependency="afterok:20300(unfulfilled)"),
        job(20307, "arr", array_job_id=20307, array_task_string="1,3,5", array_max_tasks=2, **HELD),
        job(20308, "lim", partition="debug", state_reason="PartitionTimeLimit", time_limit=300),
        job(20309, "dnode", required_nodes="node05", state_reason="ReqNodeNotAvail",
            state_description="ReqNodeNotAvail, UnavailableNodes:node05"),
        job(20310, "a_rather_long_job_name", account="project2", licenses="matlab:1", features="rome",
            tres_per_node="gres/gpu:1", partition="gpu", time_limit=10080, **HELD),
        job(20311, "big", node_count=9, cpus=9, state_reason="PartitionNodeLimit"),
        job(20312, "admheld", state_reason="JobHeldAdmin", priority=0),
    ]  # fmt: skip


def steps():
    return [
        step(20300, "extern", "extern", nodes="node[03-04]"),
        step(20300, "batch", "batch", nodes="node03"),
        step(20300, "0", "sleep", nodes="node[03-04]"),
        step(20301, "batch", "batch", nodes="node01", user_id=2002, user_name="bob"),
        step(20301, "extern", "extern", nodes="node[01-02]", user_id=2002, user_name="bob"),
    ]


def recorded():
    path = GOLDEN / "squeue-population.yaml"
    if not path.exists():
        return []
    scenario = yaml.safe_load(path.read_text())
    return [
        pytest.param(scenario["captured"], each, id=each["run"])
        for each in scenario["steps"]
        # the moments of %V are those of the recording
        if "argv" in each and not each.get("unstable") and not each.get("shell") and "%20V" not in each["run"]
    ]


def pattern(line, captured):
    """A golden line as a regex: {{NAME#n}} is a captured value, or any text about n long."""
    out = ""
    for part in re.split(r"(\{\{\w+(?:#\d+)?\}\})", line):
        token = re.fullmatch(r"\{\{(\w+)(?:#(\d+))?\}\}", part)
        if token is None:
            out += re.escape(part)
        elif token[1] in captured:
            out += re.escape(captured[token[1]])
        else:
            length = int(token[2])
            out += f".{{{max(0, length - 2)},{length + 2}}}"
    return out


@pytest.mark.parametrize("captured, golden", recorded())
def test_transcript(captured, golden):
    argv = [re.sub(r"\{\{(\w+)\}\}", lambda found: captured[found[1]], word) for word in golden["argv"]]
    out, err, code = run(argv, FakeController(population(), steps()), golden.get("env"))
    for want, got in ((golden["stdout"], out.split("\n")), (golden["stderr"], err.split("\n"))):
        if golden.get("sort"):
            got = sorted(got)
        assert len(want) == len(got), got
        for line, shown in zip(want, got, strict=True):
            assert re.fullmatch(pattern(line, captured), shown), (line, shown)
    assert code == golden["rc"]


def shown(line, jobs, **kwargs):
    out, err, code = run(f"squeue -h {line}", FakeController(jobs), **kwargs)
    assert (err, code) == ("", 0)
    return out.splitlines()


ARRAY = [
    job(31, "thr", array_job_id=31, array_task_string="3-8", array_max_tasks=2, state_reason="JobArrayTaskLimit"),
    job(32, "thr", array_job_id=31, array_task_id=1, nodes="node01", **RUNNING),
    job(33, "thr", array_job_id=31, array_task_id=2, nodes="node01", **RUNNING),
]


@pytest.mark.parametrize(
    "line, want",
    [
        ("-j 31 -S i -o '%i|%F|%K|%t|%r|%R'",
         ["31_1|31|1|R|None|node01", "31_2|31|2|R|None|node01",
          "31_[3-8%2]|31|3-8%2|PD|JobArrayTaskLimit|(JobArrayTaskLimit)"]),
        ("-j 31 -S i -r -o %i", [f"31_{task}" for task in range(1, 9)]),
        ("-j 31_1 -o '%i %K'", ["31_1 1"]),
        ("-j 31_5 -o '%i %K'", ["31_5 5"]),
        ("-j 31_5,31_6,31_1 -S i -o %i", ["31_1", "31_[5-6]"]),
        ("-j 31_99 -o %i", []),
        ("-j 32 -o %i", ["31_1"]),
        ("-j 31 -t PD -o %i", ["31_[3-8%2]"]),
    ],
)  # fmt: skip
def test_arrays(line, want):
    assert shown(line, ARRAY) == want


WAITING = "1,5-9,20,30,41,57,100-200,300,302,304,306,401,403,405,407,500-600"


@pytest.mark.parametrize(
    "length, want",
    [
        (None, "20542_[1,5-9,20,30,41,57,100-20|" + WAITING[:60] + "...%5"),
        ("0", f"20542_[{WAITING}%5]|{WAITING}%5"),
        ("20", "20542_[1,5-9,20,30,41,5...%5]|1,5-9,20,30,41,5...%5"),
        ("abc", f"20542_[{WAITING}%5]|{WAITING}%5"),
    ],
)
def test_long_arrays_are_cut_as_slurm_bitstr_len_says(length, want):
    jobs = [job(20542, "long", array_job_id=20542, array_task_string=WAITING, array_max_tasks=5)]
    env = {} if length is None else {"SLURM_BITSTR_LEN": length}
    assert shown("-o '%i|%K'", jobs, env=env) == [want]


FINISHED = [
    job(1, "cg", job_state="CANCELLED", state_flags=["COMPLETING"], nodes="node01"),
    job(2, "ok", job_state="COMPLETED", nodes="node01"),
    job(3, "bad", job_state="FAILED", state_reason="NonZeroExitCode", nodes="node01", exit_code=3 << 8),
    job(4, "held", job_state="CANCELLED", **HELD),
    job(5, "pd", **HELD),
    job(6, "r", nodes="node01", **RUNNING),
]


@pytest.mark.parametrize(
    "states, want",
    [
        (None, ["cg", "pd", "r"]),
        ("all", ["held", "ok", "cg", "bad", "pd", "r"]),
        ("CG", ["cg"]),
        ("CA", ["held"]),  # while it completes, a cancelled job is COMPLETING and nothing else
        ("cd,f", ["ok", "bad"]),
        ("R", ["r"]),
        ("expediting", []),
    ],
)
def test_states(states, want):
    assert shown(f"-o %j {f'-t {states}' if states else ''}", FINISHED) == want


def test_reasons_of_finished_jobs():
    assert shown("-t all -S i -o '%t|%r|%R'", FINISHED) == [
        "CG|None|node01", "CD|None|node01", "F|NonZeroExitCode|(NonZeroExitCode)", "CA|JobHeldUser|",
        "PD|JobHeldUser|(JobHeldUser)", "R|None|node01",
    ]  # fmt: skip


def test_jobs_no_key_tells_apart_come_newest_first():
    assert shown("-o %i", [job(number, "same", **HELD) for number in (7, 9, 8)]) == ["9", "8", "7"]


@pytest.mark.parametrize("letter", sorted(set("BcCdDefgGhHiIjJlLmMnNOpPQStTuUvVz")))
def test_every_sort_letter_sorts(letter):
    rows = shown(f"-t all -S {letter} -o %i", FINISHED + ARRAY)
    assert sorted(rows) == sorted(shown(f"-t all -S -{letter} -o %i", FINISHED + ARRAY))


def test_multiple_partitions():
    jobs = [job(7, "mp", partition="compute,debug", **HELD)]
    assert shown("-o %P", jobs) == ["compute,debug"]
    assert shown("-P -o %P", jobs) == ["compute", "debug"]
    assert shown("-P -p debug -o %P", jobs) == ["debug"]


def test_hidden_partitions_are_shown_when_asked_for():
    controller = FakeController([job(7, "x", partition="gpu")], hidden="gpu")
    assert run("squeue -h -o %i", controller)[0] == ""
    assert run("squeue -h -o %i -a", controller)[0] == "7\n"
    assert run("squeue -h -o %i -j 7", controller)[0] == "7\n"
    assert run("squeue -h -o %i", controller, uid=0)[0] == "7\n"


def test_only_the_fields_needed_are_asked_for():
    controller = FakeController(population())
    run("squeue -h -o %T -t all", controller)
    (fields,) = [args["fields"] for name, args in controller.asked if name == "jobs"]
    assert {"job_state", "state_flags"} <= set(fields) and len(fields) < 14


@pytest.mark.parametrize(
    "column", squeue_columns.JOB_COLUMNS + squeue_columns.UNLISTED_JOB_COLUMNS, ids=lambda c: c.name
)
def test_every_job_column_is_made_of_fields_of_the_model(column):
    assert set(column.fields) <= set(JOB_FIELDS) | {"@", "#"}
    for jobs in (population(), FINISHED, ARRAY):
        out, err, code = run(["squeue", "-t", "all", "-O", column.name], FakeController(jobs))
        assert code == 0 and not err and len(out.splitlines()) == len(jobs) + 1


@pytest.mark.parametrize("column", squeue_columns.STEP_COLUMNS, ids=lambda c: c.name)
def test_every_step_column_is_made_of_fields_of_the_model(column):
    assert set(column.fields) <= set(STEP_FIELDS) | {"@", "#"}
    out, err, code = run(["squeue", "-s", "-O", column.name], FakeController([], steps()))
    assert code == 0 and not err and len(out.splitlines()) == 6


def test_steps_of_all_letters():
    out, _, _ = run("squeue -s20300.0 -h -o %all", FakeController([], steps()))
    assert out == "(null)|20300.0|sleep|UNLIMITED|alice|1|0:08|node[03-04]|compute|N/A|2001|\n"


@pytest.mark.parametrize(
    "line, want",
    [
        ("-h -o '%.2l|%2l|%.2M|%.2Y|%2Y|'", "4:10:00|4:|0:08|(null)|  |"),
        ("-h -o '%.3R|%.3N|%3N'", "node01|node01|nod"),
        ("-h -O timeleft:.3,timelimit:.3,resizetime:.2", "4:09:524:10:00N/A"),
    ],
)
def test_what_is_not_cut_when_right_justified(line, want):
    jobs = [job(7, "x", nodes="node01", **RUNNING) | {"time_limit": 250}]
    assert run(f"squeue {line}", FakeController(jobs))[0] == want + "\n"


@pytest.mark.parametrize(
    "known, field, want",
    [
        ({"exit_code": 3 << 8}, "exit_code", "3:0"),
        ({"derived_exit_code": 9}, "derivedec", "0:9"),
        ({"memory_per_cpu": None, "memory_per_node": 2048}, "minmemory", "2G"),
        ({"memory_per_cpu": None, "memory_per_tres": "gres/gpu:100"}, "minmemory", "100M"),
        ({"minimum_tmp_disk_per_node": 1536}, "mintmpdisk", "1.50G"),
        ({"sockets_per_node": 1}, "sct", "1:*:*"),
        ({"het_job_id": 6, "het_job_offset": 1, "het_job_id_set": "6-7"}, "jobarrayid", "6+1"),
        ({"het_job_id": 6, "het_job_offset": 0, "het_job_id_set": "6-7"}, "hetjoboffset", "0"),
        ({}, "hetjoboffset", "N/A"),
        ({"standard_output_given": "o%j.out"}, "stdout", "/tmp/work/o%j.out"),
        ({}, "stdout", "slurm-%j.out"),
        ({"array_job_id": 7, "array_task_id": 1}, "stdout", "slurm-%A_%a.out"),
        ({}, "stderr", "(null)"),
        ({"profile": "task"}, "profile", "Task"),
        ({"cron": True}, "cronjob", "Yes"),
        ({"delay_boot": 300}, "delayboot", "5:00"),
        ({"time_minimum": 5}, "mintime", "5:00"),
        ({}, "pendingtime", "99"),
    ],
)
def test_values(known, field, want):
    assert shown(f"-O {field}:", [job(7, "x", **known)]) == [want]


def test_sizes_stay_as_they_were_with_noconvert():
    jobs = [job(7, "x", memory_per_cpu=2048, minimum_tmp_disk_per_node=1536)]
    assert shown("--noconvert -o '%m %d'", jobs) == ["2048M 1536M"]


@pytest.mark.parametrize(
    "line, err, code",
    [
        ("-o %i -O name", "squeue: error: -O (--Format) is incompatible with -o (--format)", 1),
        ("-l -o %i", "squeue: fatal: Options -o(--format) and -l(--long) are mutually exclusive. "
                     "Please remove one and retry.", 1),
        ("-w node[01", "squeue: error: 'node[01' invalid entry for --nodelist", 1),
        ("-M nosuch", "squeue: error: No cluster 'nosuch' known by database.", 1),
        ("-S name", "squeue: error: Invalid sort specification: a", 1),
        ("--running-over=x", "squeue: fatal: Invalid time limit specification", 1),
        ("--running-over=2 --running-under=1",
         "squeue: fatal: --running-over=00:02:00 and --running-under=00:01:00 will return 0 jobs.", 1),
        ("-s7", "squeue: error: Invalid job_step id: 7.??", 1),
        ("-s abc.0", "squeue: error: Invalid job_step id: abc.0", 1),
        ("-j '20304 '", "squeue: error: Invalid job id: 20304 ", 1),
        ("-i 0", "squeue: error: --iterate=0", 1),
        ("-j s6KNM7WE9P5Y01", "slurm_load_jobs error: Invalid job id specified", 1),
        ("--no", "squeue: option '--no' is ambiguous; possibilities: '--noconvert' '--node' '--nodes' '--nodelist' "
                 "'--noheader' '--notme'", 1),
    ],
)  # fmt: skip
def test_refusals(line, err, code):
    _, stderr, got = run(f"squeue {line}", FakeController(population()))
    assert (stderr.split("\n")[0], got) == (err, code)


def test_the_only_job_state_option_stands_alone():
    with pytest.raises(CommandError, match="only works alone"):
        squeue_options.asked_of(["--only-job-state", "-n", "x"], {})
    out, _, code = run("squeue --only-job-state -j 20304 -o '%i %j %t'", FakeController(population()))
    assert (out, code) == ("JOBID NAME ST\n20304 (null) PD\n", 0)
    assert run("squeue --only-job-state -j 999 -h", FakeController(population()))[::2] == ("", 0)


def test_own_cluster_is_named():
    out, _, _ = run("squeue -M oracle -j 20304 -o %i", FakeController(population()))
    assert out == "CLUSTER: oracle\nJOBID\n20304\n"


def test_the_controller_out_of_reach():
    from slurm_compat.cli.controller import ControllerDown

    class Down(FakeController):
        def rows(self, name, fields, **filters):
            raise ControllerDown

    assert run("squeue", Down([]))[1:] == (
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", 1
    )  # fmt: skip


@pytest.mark.parametrize("line", ["--help", "--usage", "--version", "--helpformat", "--helpFormat", "--helpstate"])
def test_answers_need_no_controller(line):
    out, err, code = run(f"squeue {line}", None)
    assert out and not err and code == 0


def test_ten_thousand_rows_are_made_by_one_function():
    jobs = [job(number, f"job{number}", state_reason="Priority") for number in range(10_000)]
    assert len(shown("", jobs)) == 10_000
    assert squeue.JOB_FORMAT.count("%") == 8

"""sacct against the transcripts of the real one, over records of the same jobs; no controller runs."""

import base64
import io
import json
import re
import shlex
import time
from pathlib import Path

import pytest
import yaml

from slurm_compat.cli import main as commands
from slurm_compat.cli import sacct
from slurm_compat.cli.context import Context
from slurm_compat.cli.sacct_fields import FIELDS
from slurm_compat.cli.sacct_options import request, target
from slurm_compat.core.errors import CommandError
from slurm_compat.core.model import UNLIMITED

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
NOW = 1795180000
MIB = 1 << 20


def job(job_id, **changes):
    row = {
        "job_id": job_id, "step_id": "", "array_job_id": 0, "array_task_id": None, "array_task_string": "",
        "array_max_tasks": 0, "het_job_id": 0, "het_job_offset": 0, "name": "", "user_id": 2001, "user_name": "alice",
        "group_id": 2001, "group_name": "alice", "account": "project1", "partition": "compute", "qos": "normal",
        "cluster": "oracle", "job_state": "COMPLETED", "state_flags": [], "kill_requid": None, "exit_code": 0,
        "derived_exit_code": 0, "submit_time": NOW - 60, "eligible_time": NOW - 60, "start_time": NOW - 60,
        "end_time": NOW - 57, "elapsed": 3, "cpu_time": 6, "time_limit": 5, "nodes": "node01", "node_count": 1,
        "allocated_nodes": 1, "allocated_cpus": 2, "required_cpus": 2, "required_memory": "1000M",
        "tres_alloc_str": "cpu=2,mem=1000M,node=1,billing=2", "tres_req_str": "cpu=2,mem=1000M,node=1,billing=2",
        "tasks": 2, "distribution": "", "usage": {}, "submit_line": "sbatch --parsable m.sh", "features": "",
        "association_id": 5, "batch_flag": True, "state_reason": "None",
    }  # fmt: skip
    return row | changes


def step(of, step_id, **changes):
    name = {"batch": "batch", "extern": "extern"}.get(step_id, "")
    return of | {"step_id": step_id, "name": name, "tasks": 1, "exit_code": 0, "job_state": "COMPLETED"} | changes


MULTI = job(20327, name="multi", job_state="FAILED", exit_code=2 << 8, derived_exit_code=1 << 8)
MEASURED = {"user_cpu": 5602, "system_cpu": 17166}
DEBUG = job(20328, name="okjob", partition="debug", account="project2", time_limit=30, allocated_cpus=1)
PENDING = job(
    20332, name="pendj", job_state="PENDING", start_time=NOW + 999, end_time=0, elapsed=0, nodes="", allocated_nodes=0,
    allocated_cpus=0, required_cpus=4, required_memory="1200M", time_limit=1564, eligible_time=0,
)  # fmt: skip
CANCELLED = job(
    20331, name="canj", job_state="CANCELLED", kill_requid=2001, start_time=0, nodes="", allocated_nodes=0,
    allocated_cpus=0, exit_code=15,
)  # fmt: skip
TASKS = [
    job(20330, array_job_id=20329, array_task_id=1, name="arrj"),
    job(20329, array_job_id=20329, array_task_id=2, name="arrj", job_state="FAILED", exit_code=1 << 8),
]
RECORDS = [
    MULTI,
    step(MULTI, "batch", job_state="FAILED", exit_code=2 << 8, usage=MEASURED, tres_alloc_str="cpu=2,mem=1000M,node=1"),
    step(MULTI, "extern"),
    step(MULTI, "0", name="true", tasks=2, distribution="Block", tres_alloc_str="cpu=2,mem=1000M,node=1"),
    step(MULTI, "1", name="false", job_state="FAILED", exit_code=1 << 8, distribution="Cyclic",
         tres_alloc_str="cpu=2,mem=1000M,node=1"),
    DEBUG,
    TASKS[0],
    TASKS[1],
    step(TASKS[1], "batch", job_state="FAILED", exit_code=1 << 8),
    step(TASKS[1], "extern"),
    CANCELLED,
    PENDING,
]  # fmt: skip

SCRIPT = b"#!/bin/bash\n#SBATCH -J multi -n 2 -t 5\nsrun -n 2 true\nsrun -n 1 false\nexit 2\n"


class Accounting:
    """Answers like the controller, for the filters that the transcripts use."""

    def __init__(self, records=RECORDS):
        self.records = records
        self.args = {}

    def call(self, name, **args):
        if name == "config":
            return {"pairs": [["ClusterName", "oracle"]]}
        return {"script": base64.b64encode(SCRIPT).decode()}

    def rows(self, name, fields, **args):
        if name == "tres":
            return
        self.args = args
        for record in self.records:
            wanted = not args["targets"] or any(
                int(re.match(r"\d+", text)[0]) in (record["job_id"], record["array_job_id"]) for text in args["targets"]
            )
            for key, field in (("partitions", "partition"), ("accounts", "account"), ("user_ids", "user_id")):
                wanted = wanted and (not args[key] or record[field] in args[key])
            of = next(each for each in self.records if each["job_id"] == record["job_id"])
            wanted = wanted and (not args["names"] or of["name"] in args["names"])
            wanted = wanted and (not args["nodes"] or record["nodes"] in args["nodes"])
            wanted = (
                wanted and args["start"] < (of["end_time"] or NOW) + 9999 and (not args["states"] or args["end"] >= NOW)
            )
            if wanted and (args["steps"] or not record["step_id"]) and (args["end"] or NOW) > of["submit_time"]:
                yield [record.get(field, "") for field in fields]


def run(argv, controller, env=None, uid=2001, now=NOW):
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=argv, env=env or {}, cwd="/tmp", stdin=io.StringIO(), stdout=out, stderr=err, connect=lambda: controller,
        now=lambda: float(now), uid=uid,
    )  # fmt: skip
    code = commands.run(ctx)
    return out.getvalue().split("\n"), err.getvalue().split("\n"), code


IDS = {"J": "20327", "K": "20328", "A": "20329", "C": "20331", "P": "20332"}
NOT_HERE = re.compile(r"nosuchuser|-u (alice|bob)|--json|head|unstable")  # users of another machine; shells


def steps():
    document = yaml.safe_load((GOLDEN / "sacct-views.yaml").read_text())
    for each in document["steps"]:
        text = each.get("run", "")
        if text.startswith("sacct") and "stdout" in each and not each.get("unstable") and not NOT_HERE.search(text):
            yield each


def matches(golden, actual):
    for name, value in IDS.items():
        golden = golden.replace("{{" + name + "#5}}", value)
    pattern = re.sub(r"(?:\\ )*\\\{\\\{\w+\\#(\d+)\\\}\\\}(?:\\ )*", r" *\\S{1,\1} *", re.escape(golden))
    return re.fullmatch(pattern, actual) is not None


@pytest.mark.parametrize("each", list(steps()), ids=lambda each: each["run"])
def test_records_look_as_the_real_ones_do(each):
    text = each["run"]
    for name, value in IDS.items():
        text = text.replace("{{" + name + "}}", value)
    uid = 2002 if each.get("user") == "bob" else 2001
    out, err, code = run(shlex.split(text), Accounting(), each.get("env"), uid)
    assert code == each["rc"]
    assert len(err) == len(each["stderr"]) and all(map(matches, each["stderr"], err)), "\n".join(err)
    assert len(out) == len(each["stdout"]) and all(map(matches, each["stdout"], out)), "\n".join(out)


def test_whose_jobs_are_shown():
    def asked(argv, uid=2001):
        return sacct.whose(request(argv, NOW), uid)

    assert asked([]) == [2001]
    assert asked(["-a"]) == asked(["-j", "5"]) == asked([], uid=0) == asked(["-u", "-1"]) == []
    assert asked(["-u", "root,0"], uid=5) == [0, 0]


TODAY = int(time.mktime((*time.localtime(NOW)[:3], 0, 0, 0, 0, 0, -1)))


@pytest.mark.parametrize(
    "argv, window",
    [
        ("", (TODAY, NOW + 1)),
        ("-j 1", (0, NOW + 1)),
        ("-s F", (NOW, NOW + 1)),
        ("-s F -j 1", (0, NOW + 1)),
        ("-s F -S now-2hours", (NOW - 7200, NOW - 7199)),
        ("-s F -j 1 -S now-2hours", (NOW - 7200, NOW - 7199)),
        ("-s F -E now+1hour", (NOW, NOW + 3601)),
        ("-j 1 -S now-2hours", (NOW - 7200, NOW + 1)),
        ("-S now-2hours -E now-1hour", (NOW - 7200, NOW - 3599)),
    ],
)
def test_the_time_window(argv, window):
    assert sacct.time_window(request(argv.split(), NOW), NOW) == window


@pytest.mark.parametrize(
    "argv, line",
    [
        ("-j 0", "sacct: fatal: Bad job/step specified: 0: JobID can not be zero"),
        ("-j 12x", "sacct: fatal: Bad job/step specified: 12x: JobID includes unexpected non-numeric characters"),
        (
            "-j 1_[1-2]",
            "sacct: fatal: Bad job/step specified: 1_[1-2]: JobID includes unexpected non-numeric characters",
        ),
        ("-j 1_", "sacct: fatal: Bad job/step specified: 1_: Job Array ID must not be an empty string"),
        ("-j 1.x", "sacct: fatal: Bad job/step specified: 1.x: StepID includes unexpected non-numeric characters"),
        ("-j 1.", "sacct: fatal: Bad job/step specified: 1.: StepID must not be an empty string"),
        ("-j 1.4294967290", "sacct: fatal: Bad job/step specified: 1.4294967290: StepID larger than acceptable range"),
        ("-j 99999999999", "sacct: fatal: Bad job/step specified: 99999999999: JobID larger than acceptable range"),
        ("-j -1", "sacct: fatal: Bad job/step specified: -1"),
        ("-i x", 'sacct: error: Invalid numeric value "x" for requested node range.'),
        ("-k x", "sacct: fatal: Invalid time limit specification"),
        ("-R x", "sacct: fatal: unrecognized job reason value 'x'"),
        ("-c", "Slurm job completion is disabled"),
        ("-S 2026-13-01", "Invalid time specification (pos=5): 2026-13-01"),
        ("--units=X", "sacct: error: Invalid unit type 'X'. Possible options are 'KMGTP'"),
        ("--whole-hetjob=x", 'sacct: error: Invalid --whole-hetjob value "x". Valid values: [yes|no].'),
        ("-1", "sacct: invalid option -- '1'"),
        ("--sta F", "sacct: option '--sta' is ambiguous; possibilities: '--state' '--starttime'"),
        ("-B", "sacct: fatal: When requesting job scripts you must also request specific jobs with the '-j' option."),
        ("-g no-such-group", "sacct: error: Invalid group id: no-such-group"),
        ("-u 3999999999", "sacct: error: Invalid user id: 3999999999"),
        ("--bogus", "sacct: unrecognized option '--bogus'"),
    ],
)
def test_refusals(argv, line):
    with pytest.raises(CommandError) as caught:
        request(argv.split(), NOW)
    assert caught.value.lines[0] == line and caught.value.code == 1


@pytest.mark.parametrize("text", ["12", "12_3", "12_3.batch", "12.extern", "12.0", "12+1", "sEY5M7WHBV8200"])
def test_targets_that_are_taken(text):
    assert target(text)


def test_steps_alone_are_shown_without_their_job():
    out, _, _ = run(["sacct", "-nP", "-ojobid", "-j20329_1,20329_2.batch"], Accounting())
    assert out == ["20329_1", "20329_2.batch", ""]
    assert len(run(["sacct", "-nP", "-ojobid", "-j20327,20327.0"], Accounting())[0]) == 6


def test_fields_by_abbreviation_brief_and_long_are_joined():
    def names(argv, env=None):
        return [placed.field.name for placed in sacct.fields_asked(request(argv, NOW), env or {})]

    assert names(["-o", "u,us,e,exc,jobi", "-b"]) == [
        "UID", "User", "Elapsed", "Exclusive", "JobID", "JobID", "State", "ExitCode",
    ]  # fmt: skip
    assert names(["-o", "jobid", "-o", "state"]) == ["JobID", "State"]
    assert names([], {"SACCT_FORMAT": "user"}) == ["User"]
    assert len(names(["-o", "ALL"])) == len(FIELDS) == 123


def test_a_jobs_cpu_time_is_that_of_its_steps():
    out = run(["sacct", "-nP", "-j20327", "-ototalcpu,usercpu,systemcpu"], Accounting())[0]
    assert out[:2] == ["00:00.022|00:00.005|00:00.017"] * 2
    assert run(["sacct", "-nPX", "-j20327", "-ototalcpu"], Accounting())[0] == ["00:00:00", ""]


def test_held_jobs_are_found_by_id_alone():
    assert run(["sacct", "-nPX", "-j20332", "-ostate"], Accounting())[0] == ["PENDING", ""]
    assert run(["sacct", "-nPX", "-j20332", "-sPD", "-ostate"], Accounting())[0] == [""]
    assert "20332" not in run(["sacct", "-nPX", "-ojobid"], Accounting())[0]


def test_an_array_record_is_one_row_or_one_a_task():
    waiting = PENDING | {"array_job_id": 20332, "array_task_string": "5,7,9", "array_max_tasks": 2}
    assert run(["sacct", "-nPojobid", "-j20332"], Accounting([waiting]))[0] == ["20332_[5,7,9%2]", ""]
    out = run(["sacct", "-nPojobid,jobidraw", "--array", "-j20332"], Accounting([waiting]))[0]
    assert out == ["20332_5|20332", "20332_7|20332", "20332_9|20332", ""]


USAGE = {
    "user_cpu": 2267910, "system_cpu": 182441, "max_rss": 62365696, "max_rss_node": "node01", "max_rss_task": 1,
    "ave_rss": 31182848, "max_vmsize": 69148672, "max_vmsize_node": "node01", "max_vmsize_task": 1,
    "ave_vmsize": 34574336, "max_pages": 1, "max_pages_node": "node01", "max_pages_task": 1, "ave_pages": 0,
    "min_cpu": 1140000, "min_cpu_node": "node01", "min_cpu_task": 1, "ave_cpu": 570000, "max_disk_read": 43082,
    "max_disk_read_node": "node01", "max_disk_read_task": 1, "ave_disk_read": 21541, "max_disk_write": 52428801,
    "max_disk_write_node": "node01", "max_disk_write_task": 1, "ave_disk_write": 26214400,
}  # fmt: skip


@pytest.mark.parametrize(
    "options, want",
    [
        ([], "30452K|60904K|50.00M|25M|0.02M|1|00:00:00|00:02.450"),
        (["--noconvert"], "31182848|62365696|50.00M|25M|0.02M|1|00:00:00|00:02.450"),
        (["--units=M"], "29.74M|59.48M|50.00M|25M|0.02M|0.00M|00:00:00|00:02.450"),
        (["--units=K"], "30452K|60904K|51200.00K|25600K|0.02M|0.00K|00:00:00|00:02.450"),
    ],
)
def test_measured_use_in_every_unit(options, want):
    records = [MULTI, step(MULTI, "0", tasks=2, usage=USAGE)]
    fields = "averss,maxrss,maxdiskwrite,avediskwrite,avediskread,maxpages,avecpu,totalcpu"
    assert run(["sacct", "-nP", "-j20327.0", "-o", fields, *options], Accounting(records))[0] == [want, ""]


def test_usage_lists():
    records = [MULTI, step(MULTI, "0", tasks=2, usage=USAGE), step(MULTI, "1", usage={})]
    fields = "tresusageinave,tresusageinmaxnode,tresusageinmaxtask,tresusageoutmax,tresusageouttot"
    out = run(["sacct", "-nP", "-j20327.0,20327.1", "-o", fields], Accounting(records))[0]
    assert out[0].split("|") == [
        "cpu=00:00:00,energy=0,fs/disk=21541,mem=30452K,pages=0,vmem=33764K",
        "cpu=node01,energy=node01,fs/disk=node01,mem=node01,pages=node01,vmem=node01",
        "cpu=1,fs/disk=1,mem=1,pages=1,vmem=1",
        "energy=0,fs/disk=52428801",
        "energy=0,fs/disk=50M",
    ]
    assert out[1] == "energy=0||||energy=0"


def test_columns_cut_text_but_not_numbers():
    out = run(["sacct", "-j20327", "-X", "-o", "start%6,state%3,uid%2,elapsed%2,jobid%0,state"], Accounting())[0]
    assert out == [
        " Start Sta UI El  Sta ",
        "------ --- -- --  --- ",
        "###### FA+ 2001 00:00:03  FA+ ",
        "",
    ]


def test_time_limits():
    records = [job(1, time_limit=None), job(2, time_limit=UNLIMITED), job(3, time_limit=1564)]
    out = run(["sacct", "-anPX", "-o", "timelimit,timelimitraw"], Accounting(records))[0]
    assert out == ["Partition_Limit|Partition_Limit", "UNLIMITED|UNLIMITED", "1-02:04:00|1564", ""]


def test_truncated_times():
    records = [job(1, start_time=NOW - 7200, end_time=NOW - 10, elapsed=7190)]
    argv = ["sacct", "-anPXT", "-S", "now-1hour", "-E", "now-1minute", "-o", "elapsed"]
    assert run(argv, Accounting(records))[0] == ["00:59:00", ""]


def test_filters_that_the_command_does_itself():
    def ids(*argv):
        return run(["sacct", "-anPX", "-ojobid", *argv], Accounting())[0][:-1]

    assert ids("-k", "30") == ["20328"]
    assert ids("-k", "6", "-K", "40") == ["20328"]
    assert ids("-I", "1") == ["20328"]
    assert ids("-i", "0") == ["20331"]
    assert ids("-x", "4,6") == ids("-M", "elsewhere") == ids("-g", "0") == []
    assert len(ids("-M", "elsewhere,oracle")) == len(ids("-M", "all")) == 5


def test_json_has_the_published_keys():
    document = yaml.safe_load((GOLDEN / "sacct-views.yaml").read_text())
    golden = next(each for each in document["steps"] if "--json" in each.get("run", ""))
    defaults = {"tres_alloc_str": "", "priority": 5, "suspended": 0, "planned": 0, "restart_cnt": 0}
    records = Accounting([defaults | record for record in RECORDS])
    out, _, code = run(["sacct", "--json", "-j20327"], records)
    answer = json.loads("\n".join(out))
    assert code == 0
    assert str(sorted(answer)) == golden["stdout"][0]
    assert str(sorted(answer["jobs"][0])) == golden["stdout"][1]
    assert len(answer["jobs"][0]["steps"]) == 4
    lines = run(["sacct", "--yaml", "-j20327"], records)[0]
    assert lines[:5] == ["%YAML 1.1", "--- !!map", "!!str jobs: !!seq", "- !!map", "  !!str account: !!str project1"]
    assert "    !!str steps: !!seq" not in lines and "  !!str steps: !!seq" in lines

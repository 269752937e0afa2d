"""scontrol's smaller verbs, its session on standard input and its options: words and codes as 26.05 has them."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from slurm_compat.cli.scontrol import VERBS, typed
from slurm_compat.cli.scontrol_entities import ENTITIES
from slurm_compat.core import debugflags
from slurm_compat.core.errors import DISABLED, SlurmError

sys.path.insert(0, str(Path(__file__).parent))
from fakecontroller import FakeController, job, run, step

sys.path.pop(0)

PAGE = Path(__file__).parents[2] / "docs" / "scontrol.md"
PART = {
    "name": "gpu", "hidden": False, "nodes": "node04", "default": False, "default_time": None, "max_time": 10080,
    "min_nodes": 0, "state": "UP",
}  # fmt: skip


class Cluster(FakeController):
    """Answers what these verbs ask; `refusal` is what every call but these is refused with."""

    refusal = None

    def call(self, name, /, **args):
        self.asked.append((name, args))
        if name == "ping":
            return {"hostname": "ctl01"}
        if name == "config":
            return {"pairs": [["ClusterName", "oracle"], ["SlurmctldDebug", "info"], ["DebugFlags", "(null)"]]}
        if self.refusal is not None:
            raise self.refusal
        return {"errors": []}

    def rows(self, name, fields, /, **filters):
        if name == "partitions" and "default" in fields:
            return iter([[PART[field] for field in fields]])
        if name == "nodes" and "port" in fields:
            return iter([["node01", "10.77.77.11", 6818], ["node02", "10.77.77.12", 6818]])
        return super().rows(name, fields, **filters)


def cluster():
    jobs = [job(20, "a", job_state="RUNNING", end_time=1795183600), job(21, "b", user_id=2002)]
    steps = [
        step(20, "extern", "extern", nodes="node[01-02]"),
        step(20, "batch", "batch", nodes="node01", pids=[["node01", 0, 400]]),
        step(20, "1", "x", nodes="node[01-02]", pids=[["node02", 2, 503], ["node01", 0, 501], ["node01", 1, 502]]),
    ]
    return Cluster(jobs, steps)


@pytest.fixture(autouse=True)
def processes(monkeypatch):
    monkeypatch.setattr("slurm_compat.cli.scontrol_here._parents", lambda: {400: 1, 410: 400, 411: 410, 501: 9})


HEAD = "PID      JOBID    STEPID   LOCALID GLOBALID\n"


@pytest.mark.parametrize(
    "line, out",
    [
        ("listjobs node01", "JOBID\n20      \n"),
        ("liststeps node01",
         "JOBID    STEPID  \n20       1       \n20       batch   \n20       extern  \n"),
        ("listpids 20.1 node02", HEAD + "503      20       1        0       2       \n"),
        ("listpids 20.batch node01", HEAD + "400      20       batch    0       0       \n"
         "410      20       batch    -       -       \n411      20       batch    -       -       \n"),
        ("listpids 20 node02", HEAD + "503      20       1        0       2       \n"
         "-1       20       extern   0       0       \n"),
        ("getaddrs node[01-02],nosuch", "node01: 10.77.77.11:6818\nnode02: 10.77.77.12:6818\n"),
        ("gethost node02 20", "JobId=20.1:\nHost:\n\nJobId=20.extern:\nHost:\n\n"),
        ("errnumstr 0", "No error\n"),
        ("errnumstr 2000", "Invalid partition name specified\n"),
        ("errnumstr 999999", "Unknown error 999999\n"),
        ("show federation", ""), ("show bbstat", ""), ("show burst", ""), ("show dw", ""), ("show topology", ""),
        ("show aliases node01", "node01\n"),
        ("show topoconf", "%YAML 1.1\n---\n- topology: default\n  cluster_default: false\n  block: {}\n  flat: {}\n"
         "  ring: {}\n  torus3d: {}\n  tree: {}\n...\n"),
        ("cluster", ""), ("cluster oracle", ""),
        ("-M oracle ping", "Slurmctld(primary) at oracle is UP\n"), ("ping", "Slurmctld(primary) at ctl01 is UP\n"),
        ("write batch_script", ""), ("setdebug debug2", ""), ("setdebugflags +backfill,Steps -agent", ""),
    ],
)  # fmt: skip
def test_what_goes_well(line, out):
    assert run(f"scontrol {line}", cluster()) == (out, "", 0)


@pytest.mark.parametrize(
    "line, err",
    [
        ("listpids", "No job steps exist on this node."),
        ("listpids abc", '"abc" does not look like a jobid'),
        ("listpids 7 nosuch", "JobId=7 does not exist on node nosuch."),
        ("listpids 7 node01", "There are no steps for job 7 on node node01."),
        ("listpids 20.9", "StepId=20.9 does not exist on node (null)."),
        ("listjobs", "No slurmstepd's found on this node"),
        ("liststeps nosuch", "No slurmstepd's found on this node"),
        ("pidinfo abc", "Failed to locate job for requested pid"),
        ("pidinfo 9", "Failed to locate job for requested pid"),
        ("gethost node01", "two arguments required for keyword:gethost"),
        ("getaddrs", "one argument required for keyword:getaddrs"),
        ("errnumstr abc", "numeric arguments required for keyword:errnumstr"),
        ("setdebug", "too few arguments for keyword:setdebug"),
        ("setdebug bogus", "invalid debug level: bogus"),
        ("setdebug 10", "invalid debug level: 10"),
        ("setdebug debug bogus", "Invalid option: debug"),
        ("setdebug debug nodes=node01", "Failed to change debug level on one or more nodes."),
        ("setdebugflags backfill",
         "invalid debug flag: backfill\nUsage: setdebugflags {+|-}NAME [{+|-}NAME] [nodes=<NODES>]"),
        ("setdebugflags +bogus", "scontrol: error: Invalid DebugFlag: bogus\ninvalid debug flag: +bogus"),
        ("schedloglevel 2", "invalid schedlog level: 2"),
        ("fsdampeningfactor 1.5", "invalid dampening factor: 1.5"),
        ("fsdampeningfactor 0", "invalid dampening factor: 0"),
        ("power bogus node01", "unexpected argument: 'bogus'"),
        ("takeover 1", "takeover: invalid backup controller index (1)"),
        ("takeover x", "takeover: invalid backup controller index (0)"),
        ("update SlurmctldDebug=debug", "invalid debug level: debug"),
        ("notify abc x", "Invalid job_id abcjob notify failure: No error"),
        ("notify 20", "too few arguments for keyword:notify"),
        ("abort", "invalid keyword: abort"),
        ("shutdown bogus", "invalid shutdown argument:bogus"),
        ("shutdown x y", "too many arguments for keyword:shutdown"),
        ("show l", "invalid entity:l for keyword:show"),
        ("show frontend", "invalid entity:frontend for keyword:show"),
        ("show slurmd", "scontrol: error: slurm_slurmd_info: Connection refused\n"
         "slurm_load_slurmd_status:Connection refused"),
        ("wait_job 21", "scontrol: Job 21 no longer running"),
        ("wait_job 999", "scontrol: Problem running job 999"),
        ("cluster other", "scontrol: error: No cluster 'other' known by database.\n"
         "scontrol: error: 'other' can't be reached now, or it is an invalid entry for --cluster.  "
         "Use 'sacctmgr list clusters' to see available clusters.\nscontrol: fatal: Could not get cluster information"),
        ("-u bob update jobid=20 comment=x", "Invalid user id for job 20"),
    ],
)  # fmt: skip
def test_what_does_not(line, err):
    assert run(f"scontrol {line}", cluster()) == ("", err + "\n", 1)


def test_words_without_an_end_of_their_line():
    assert run("scontrol wait_job abc", cluster()) == ("", "Invalid job_id abc", 1)
    assert run("scontrol wait_job 20", cluster()) == ("", "scontrol: Nodes are ready for job 20\n", 0)
    assert run("scontrol show topology node01", cluster())[1:] == (
        "slurm_load_topo error: Requested topology configuration is not available\n", 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "line, call, args",
    [
        ("notify 20.0 hello  world", "notify", {"job_id": 20, "text": "hello world"}),
        ("setdebug 9", "set_debug", {"level": "debug5"}),
        ("setdebug INFO", "set_debug", {"level": "info"}),
        ("setdebugflags +netraw,WorkQ -agent", "set_debug",
         {"flags_on": ["NetworkRaw", "thread"], "flags_off": ["Agent"]}),
        ("schedloglevel enable", "set_debug", {"scheduler": 1}),
        ("fsdampeningfactor 100000", "set_debug", {"dampening": 34464}),
        ("power up node01", "power", {}),
        ("suspend '20 21'", "suspend", {"targets": ["20", "21"]}),
        ("requeuehold state=no 20", "requeue", {"targets": ["state=no", "20"], "hold": True, "special_exit": False}),
        ("requeuehold State=SE 20", "requeue", {"targets": ["20"], "hold": True, "special_exit": True}),
    ],
)  # fmt: skip
def test_what_the_controller_is_asked(line, call, args):
    there = cluster()
    assert run(f"scontrol {line}", there) == ("", "", 0)
    assert (call, args) in there.asked


@pytest.mark.parametrize(
    "line, words",
    [
        ("setdebug info", "slurm_set_debug_level error"), ("setdebugflags +gang", "slurm_set_debug_flags error"),
        ("schedloglevel 1", "slurm_set_schedlog_level error"),
        ("fsdampeningfactor 3", "slurm_set_fs_dampeningfactor error"), ("power up x", "scontrol_power_nodes error"),
    ],
)  # fmt: skip
def test_refusals_in_each_verbs_own_words(line, words):
    there = cluster()
    there.refusal = SlurmError(DISABLED)
    assert run(f"scontrol {line}", there) == ("", f"{words}:Requested operation is presently disabled\n", 1)


@pytest.mark.parametrize(
    "line, words",
    [
        ("show part gpu; ping\n", ["show", "part", "gpu;", "ping"]),
        ("  show\t part  gpu \n", ["show", "part", "gpu"]),
        ("show 'part gpu'\n", ["show", "'part", "gpu'"]),
        ('show "part" gpu\n', ["show", '"part" gpu']),
        ('update jobid=1 comment="a b" name=x\n', ["update", "jobid=1", 'comment="a b"', "name=x"]),
        ('"unclosed\n', ['"unclosed']),
        ("# c\n", ["#", "c"]),
        (" \n", []),
    ],
)
def test_words_of_a_session(line, words):
    assert typed(line) == words


@pytest.mark.parametrize(
    "stdin, out, err, code",
    [
        ("ping\nquit\nping\n", "scontrol: ping\nSlurmctld(primary) at ctl01 is UP\nscontrol: quit\n", "", 0),
        ("version\n!!\n!!x\nexit\n",
         "scontrol: version\nslurm-wlm 26.05.5\nscontrol: !!\nslurm-wlm 26.05.5\nscontrol: !!x\nscontrol: exit\n",
         "invalid keyword: !!x\n", 1),
        ("!!\n\nquit now\nping\n", "scontrol: !!\nscontrol: \nscontrol: quit now\n",
         "too many arguments for keyword:quit\n", 1),
        ("a\nd\nqui\n", "scontrol: a\nscontrol: d\nscontrol: qui\nscontrol: \n",
         "invalid keyword: a\ninvalid keyword: qui\n", 1),
        ("quiet\nshow job 99\nverbose\nshow job 99\n",
         "scontrol: quiet\nscontrol: show job 99\nscontrol: verbose\nscontrol: show job 99\nscontrol: \n",
         "slurm_load_jobs error: Invalid job id specified\n", 1),
    ],
)  # fmt: skip
def test_sessions(stdin, out, err, code):
    assert run("scontrol", cluster(), stdin=stdin) == (out, err, code)


def test_options():
    assert run("scontrol -Q show job 99", cluster()) == ("", "", 1)
    assert run("scontrol -u nosuch ping", cluster()) == ("", 'scontrol: error: --uid="nosuch" invalid\n', 0)
    assert run("scontrol -M oracle,nosuch ping", cluster())[1:] == (
        "scontrol: error: No cluster 'nosuch' known by database.\n", 0,
    )  # fmt: skip


def test_nobody_but_root_speaks_for_another():
    there = cluster()
    assert run("scontrol -u 2002 update jobid=20 comment=x", there, uid=0)[1:] == ("Invalid user id for job 20\n", 1)
    assert run("scontrol -u 2002 update jobid=21 comment=x", there, uid=0)[1:] == ("", 0)
    assert run("scontrol -u 2001 update jobid=21 comment=x", there, uid=2001)[1:] == ("Invalid user id for job 21\n", 1)


@pytest.mark.parametrize(
    "line, keys",
    [
        ("listjobs node01", [{"job_id": 20}]),
        ("liststeps node02", [{"job_id": 20, "step_id": "1"}, {"job_id": 20, "step_id": "extern"}]),
    ],
)
def test_documents_of_a_node(line, keys):
    out, err, code = run(f"scontrol --json {line}", cluster())
    found = json.loads(out)
    assert (err, code, next(iter(found.values()))) == ("", 0, keys)
    assert list(found)[1:] == ["meta", "errors", "warnings"]


@pytest.mark.parametrize(
    "name, code", [("show config", 253), ("ping", 253), ("show part", 255), ("show step", 0), ("show job", 1)]
)
def test_codes_for_an_unknown_version(name, code):
    out, err, got = run(f"scontrol --json=bogus {name}", cluster())
    assert (out, got) == ("", code)
    assert err.startswith("scontrol: error: load_plugins: unable to find plugin: data_parser/bogus\n")


def test_a_job_that_is_not_there_makes_an_empty_document():
    out, err, code = run("scontrol --json show job 99", cluster())
    found = json.loads(out)
    assert (err, code, found["jobs"], found["last_update"]["number"]) == ("", 0, [], 0)


def test_the_configuration_as_a_file(tmp_path):
    path = tmp_path / "conf"
    out, err, code = run(f"scontrol write config {path}", cluster())
    written = re.fullmatch(rf"Slurm config saved to ({path}\.\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d)\n", out)
    assert written and (err, code) == ("", 0)
    lines = Path(written[1]).read_text().split("\n")
    assert {"ClusterName=oracle", "#DebugFlags="} <= set(lines)
    assert "PartitionName=gpu MaxTime=7-00:00:00 MinNodes=0 Nodes=node04 State=UP" in lines
    assert os.listdir(tmp_path) == [os.path.basename(written[1])]


def test_every_verb_and_entity_is_on_its_page():
    rows = " ".join(re.findall(r"^\| ([^|]*) \|", PAGE.read_text(), flags=re.MULTILINE))
    words = set(re.findall(r"[a-z_]+", rows))
    assert set(VERBS) - words == set()
    assert set(ENTITIES) - words - {"jobid", "reservationname"} == set()  # other names of two that are


@pytest.mark.parametrize("flag", debugflags.FLAGS)
def test_flags_are_read_as_they_are_shown(flag):
    assert debugflags.flags(flag.swapcase()) == [flag]

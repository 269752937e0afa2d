"""sinfo against the transcripts of the real one, over rows of the same five nodes; no controller runs."""

import io
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from slurm_compat.cli import main as commands
from slurm_compat.cli import sinfo
from slurm_compat.cli.context import Context
from slurm_compat.core.errors import CommandError
from slurm_compat.core.fields import NODE_FIELDS, PARTITION_FIELDS
from slurm_compat.core.model import UNLIMITED

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
NOW = 1795180000

FEATURES = {1: "skylake,ib", 2: "skylake,ib", 3: "rome", 4: "skylake,gpu", 5: "rome"}


def node(number, **changes):
    name = f"node{number:02}"
    gpu = number == 4
    row = {
        "name": name, "hostname": name, "address": f"10.77.77.1{number}", "port": 6818, "version": "26.05.5",
        "state": "DOWN" if number == 5 else "IDLE", "state_flags": [], "reason": "psu failed" if number == 5 else "",
        "reason_set_by_user": "root" if number == 5 else "", "reason_changed_at": NOW - 50 if number == 5 else 0,
        "comment": "", "extra": "", "features": FEATURES[number], "active_features": FEATURES[number],
        "gres": "gpu:a100:2" if gpu else "", "gres_used": "gpu:a100:0(IDX:N/A)" if gpu else "", "cpus": 4,
        "alloc_cpus": 0, "cpu_load": 0.4 + number / 100, "sockets": 1, "cores": 4, "threads": 1, "real_memory": 4000,
        "alloc_memory": 0, "free_mem": 21000 + number, "temporary_disk": 0, "weight": 50 if gpu else 1,
        "reservation": "",
    }  # fmt: skip
    return row | changes


def partition(name, names, **changes):
    row = {
        "name": name, "node_names": names, "state": "UP", "default": False, "hidden": False, "default_time": None,
        "max_time": UNLIMITED, "min_nodes": 1, "max_nodes": UNLIMITED, "max_cpus_per_node": UNLIMITED,
        "allow_groups": "ALL", "allow_alloc_nodes": "ALL", "priority_job_factor": 1, "priority_tier": 1,
        "preempt_mode": "OFF", "root_only": False, "oversubscribe": "NO", "cluster": "oracle",
    }  # fmt: skip
    return row | changes


ALL = ["node01", "node02", "node03", "node04", "node05"]
PARTITIONS = [
    partition("compute", ALL, default=True),
    partition("gpu", ["node04"], max_time=7 * 1440),
    partition("debug", ["node01", "node02"], max_time=120, default_time=30),
]


class Rows:
    """A controller that only has rows."""

    def __init__(self, nodes, partitions=PARTITIONS, reservations=()):
        self.tables = {"nodes": nodes, "partitions": partitions, "reservations": list(reservations)}

    def rows(self, name, fields, **args):
        return iter([[row[field] for field in fields] for row in self.tables[name]])


def run(argv, controller, env=None, uid=2001):
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=argv, env=env or {}, cwd="/tmp", stdin=io.StringIO(), stdout=out, stderr=err, connect=lambda: controller,
        now=lambda: float(NOW), uid=uid,
    )  # fmt: skip
    code = commands.run(ctx)
    return out.getvalue().split("\n"), err.getvalue().split("\n"), code


def matches(golden, actual):
    pattern = re.sub(r"\\\{\\\{\w+\\#(\d+)\\\}\\\}", lambda token: f".{{{token[1]}}} *", re.escape(golden))
    return re.fullmatch(pattern, actual) is not None


def steps(name):
    document = yaml.safe_load((GOLDEN / name).read_text())
    for step in document["steps"]:
        if step.get("run", "").startswith("sinfo") and not step.get("shell") and not step.get("unstable"):
            yield step


def check(step, controller):
    out, err, code = run(shlex.split(step["run"]), controller, step.get("env"))
    want_out, want_err = step["stdout"], step["stderr"]
    if step.get("sort"):
        # masked parts sort elsewhere than what they stand for
        err, want_err = sorted(err), sorted(want_err)
        out = [
            next((line for line in out if matches(want, line)), f"nothing like {want!r}") for want in want_out
        ] + out[len(want_out) :]
    assert code == step["rc"]
    assert err == want_err
    assert len(out) == len(want_out) and all(map(matches, want_out, out)), "\n".join(out)


# the rows of documents, as 26.05 has them for these options: partition, state, nodes by their numbers
IDLE = [("compute", "IDLE", "123"), ("compute", "IDLE", "4"), ("compute", "DOWN", "5"), ("gpu", "IDLE", "4"),
        ("debug", "IDLE", "12")]  # fmt: skip
BY_PARTITION = [("compute", "IDLE", "1235"), ("compute", "IDLE", "4"), ("gpu", "IDLE", "4"), ("debug", "IDLE", "12")]


@pytest.mark.parametrize(
    "options, rows",
    [
        ("", IDLE), ("-l", IDLE), ("-e", IDLE), ("-s", BY_PARTITION), ("-o %P", BY_PARTITION),
        ("-o %n", [("compute", "IDLE", number) for number in "1234"] + [("compute", "DOWN", "5")]),
        ("-o %t", [("compute", "IDLE", "123"), ("compute", "IDLE", "4"), ("compute", "DOWN", "5")]),
        ("-o %D", [("compute", "IDLE", "1235"), ("compute", "IDLE", "4")]),
        ("-o %f", [("compute", "IDLE", "12"), ("compute", "IDLE", "35"), ("compute", "IDLE", "4")]),
        ("-R", [("compute", "DOWN", "5")]),
        ("-t idle", [row for row in IDLE if row[1] == "IDLE"]),
        ("-p compute -n nosuch", [("compute", "UNKNOWN", "")]),
    ],
)  # fmt: skip
def test_rows_of_documents(options, rows):
    out, _, code = run(["sinfo", *options.split(), "--json"], Documents())
    found = [
        (row["partition"]["name"], *row["node"]["state"], "".join(name[-1] for name in row["nodes"]["nodes"]))
        for row in json.loads("\n".join(out))["sinfo"]
    ]
    assert (found, code) == (rows, 0)


class Documents(Rows):
    """Has every field that a document needs."""

    def __init__(self):
        absent = {"int": 0, "str": "", "bool": False, "int|None": None}
        node_row, partition_row = (
            {name: absent.get(kind.partition(":")[0], []) for name, kind in fields.items()}
            for fields in (NODE_FIELDS, PARTITION_FIELDS)
        )
        super().__init__(
            [node_row | node(number) for number in range(1, 6)], [partition_row | row for row in PARTITIONS]
        )

    def call(self, name, **args):
        return {"pairs": [["ClusterName", "oracle"]]}


@pytest.mark.parametrize("step", list(steps("sinfo-idle.yaml")), ids=lambda step: step["run"])
def test_an_idle_cluster_looks_like_the_real_one(step):
    check(step, Rows([node(number) for number in range(1, 6)]))


BUSY = [
    node(1, state="ALLOCATED", alloc_cpus=4, alloc_memory=2000),
    node(2, state="MIXED", alloc_cpus=2, alloc_memory=1000),
    node(3),
    node(4),
    node(5),
]
DRAINED = [
    BUSY[0],
    BUSY[1]
    | {"state_flags": ["DRAIN"], "reason": "swap memory", "reason_set_by_user": "root", "reason_changed_at": NOW},
    node(3, state_flags=["DRAIN"], reason="check disk now", reason_set_by_user="root", reason_changed_at=NOW),
    *BUSY[3:],
]


def busy_steps():
    """Until the nodes are drained, and from there until they are resumed."""
    nodes = BUSY
    document = yaml.safe_load((GOLDEN / "sinfo-busy.yaml").read_text())
    for step in document["steps"]:
        if "state=resume" in step.get("run", ""):
            return
        if "reason=" in step.get("run", ""):
            nodes = DRAINED
        elif step.get("run", "").startswith("sinfo"):
            yield step, nodes


@pytest.mark.parametrize(
    "step, nodes", list(busy_steps()), ids=lambda value: value["run"] if isinstance(value, dict) else ""
)
def test_busy_and_drained_nodes_look_like_the_real_ones(step, nodes):
    check(step, Rows(nodes))


def test_a_long_partition_name_widens_its_column():
    rows = Rows([node(2)], [partition("averylongpartition", ["node02"]), partition("empty", [])])
    out, _, _ = run(["sinfo"], rows)
    assert out[:3] == [
        "PARTITION          AVAIL  TIMELIMIT  NODES  STATE NODELIST",
        "averylongpartition    up   infinite      1   idle node02",
        "empty                 up   infinite      0    n/a ",
    ]


def test_rows_without_a_partition_column_have_no_empty_ones():
    assert run(["sinfo", "-t", "mix", "-o", "%a"], Rows([node(1)]))[0] == ["AVAIL", ""]


def test_hidden_partitions_are_shown_to_root_and_on_request():
    rows = Rows([node(1)], [partition("secret", ["node01"], hidden=True)])
    assert run(["sinfo", "-h"], rows)[0] == [""]
    assert len(run(["sinfo", "-ha"], rows)[0]) == 2
    assert len(run(["sinfo", "-h"], rows, uid=0)[0]) == 2
    assert len(run(["sinfo", "-h", "-p", "secret"], rows)[0]) == 2


def test_reservations():
    rows = Rows([], reservations=[{"name": "res1", "start_time": NOW - 10, "end_time": NOW + 590, "nodes": "node04"}])
    out, _, _ = run(["sinfo", "-T"], rows)
    assert out[0] == "RESV_NAME     STATE           START_TIME             END_TIME     DURATION  NODELIST"
    assert re.fullmatch(r"res1         ACTIVE  \S{19}  \S{19}     00:10:00  node04", out[1])
    assert run(["sinfo", "-T"], Rows([]))[0][0] == "No reservations in the system"


@pytest.mark.parametrize(
    "argv, text",
    [
        (["-a", "-p", "x"], "sinfo: error: Conflicting options, -a and -p, specified. Please choose one or the other."),
        (["-n", "node[01"], "sinfo: error: 'node[01' invalid entry for --nodes"),
        (["-i", "0"], "sinfo: error: Error: invalid entry for --iterate=0"),
        (["--r"], "sinfo: option '--r' is ambiguous; possibilities: '--responding' '--reservation'"),
        (["-t"], "sinfo: option requires an argument -- 't'"),
    ],
)  # fmt: skip
def test_refusals(argv, text):
    with pytest.raises(CommandError) as caught:
        sinfo.asked_for(argv, {})
    assert caught.value.lines[0] == text


@pytest.mark.parametrize(
    "states, found",
    [
        ("idle&maint", {2}),
        ("~idle", {3}),
        ("drain&~idle", set()),
        ("a", {3}),
        ("drained,maint", {1, 2}),
        ("all", {1, 2, 3}),
    ],
)
def test_states_are_combined(states, found):
    nodes = [
        node(1, state_flags=["DRAIN"], reason="x"),
        node(2, state_flags=["MAINTENANCE", "RESERVED"]),
        node(3, state="MIXED"),
    ]
    asked = sinfo.asked_for(["-t", states], {})
    passes = sinfo.node_filter(asked)
    assert {index for index, each in enumerate(nodes, 1) if passes(each)} == found

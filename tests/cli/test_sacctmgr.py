"""sacctmgr against transcripts of the real one and what else was observed of it; no controller runs."""

import json
import pwd
import re
import sys
from pathlib import Path

import pytest
import yaml

from slurm_compat.cli import jsondoc, sacctmgr_settings
from slurm_compat.cli.sacctmgr_conditions import GRAMMARS, read
from slurm_compat.cli.sacctmgr_fields import COLUMNS, column_named
from slurm_compat.core.errors import BadValue

sys.path.insert(0, str(Path(__file__).parent))
from accounting_rows import Accounting
from bookkeeping import BookKeeping
from fakecontroller import run

sys.path.pop(0)

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
STEPS = yaml.safe_load((GOLDEN / "sacctmgr-show.yaml").read_text())["steps"]
UIDS = {"alice": 2001, "root": 0}


@pytest.fixture(autouse=True)
def the_recorded_users(monkeypatch):
    names = {uid: name for name, uid in UIDS.items()}
    known = {"alice", "bob", "root"}

    def by_name(name):
        if name not in known:
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", UIDS.get(name, 2002), 0, "", "/", "/bin/sh"))

    monkeypatch.setattr(jsondoc, "user_name", lambda uid: names.get(uid, str(uid)))
    monkeypatch.setattr(sacctmgr_settings.pwd, "getpwnam", by_name)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["run"])
def test_recorded_sessions(step):
    controller = BookKeeping()
    controller.user = step.get("user", "alice")
    out, err, code = run(step["argv"], controller, uid=UIDS[controller.user], stdin=step.get("stdin", ""))
    assert (out.split("\n"), err.split("\n"), code) == (step["stdout"], step["stderr"], step["rc"])


def out_of(line, uid=2001, stdin=""):
    out, err, code = run(line, Accounting(), uid=uid, stdin=stdin)
    assert (err, code) == ("", 0)
    return out


def refusal(line, uid=2001):
    controller = BookKeeping()
    controller.user = "root" if uid == 0 else "alice"
    out, err, code = run(line, controller, uid=uid)
    assert (out, code) == ("", 1)
    return err.rstrip("\n").split("\n")


def test_what_snakemake_asks():
    assert out_of('sacctmgr -n -s list user "alice" format=account%20') == (
        "            project1 \n            project2 \n"
    )


# names of columns; the real one's least lengths


@pytest.mark.parametrize(
    "name, title",
    [
        ("acc", "Account"), ("acct", "Account"), ("ac", None), ("cl", "Cluster"), ("cla", "Class"), ("s", "Share"),
        ("se", None), ("ser", "Server"), ("servert", None), ("servertype", "ServerType"), ("st", "State"),
        ("sta", "State"), ("star", "TimeStart"), ("maxtres", "MaxTRES"), ("maxtresp", None), ("maxtrespj", "MaxTRES"),
        ("maxtrespu", "MaxTRESPU"), ("maxsubmitjobs", "MaxSubmit"), ("maxsubmitjobsp", "MaxSubmitPU"),
        ("maxsubmitjobspera", "MaxSubmitPA"), ("p", "Problem"), ("pa", None), ("part", "Partition"),
        ("parenti", "ParentID"), ("qos", "QOS"), ("qosr", "QOS_RAW"), ("rp", "RPC"), ("r", "Reason"), ("rgt", None),
        ("user", "User"), ("usernames", None), ("l", "Lineage"), ("lf", None), ("id", "ID"), ("i", None),
    ],
)  # fmt: skip
def test_names_of_columns(name, title):
    column = column_named(name)
    assert (column.title if column else None) == title


def test_every_column_is_found_by_its_whole_words():
    for column in COLUMNS:
        for word in column.words.split():
            assert column_named(word.replace("|", "")) == column


# conditions


def test_words_of_a_command():
    conditions = read(["where", "user=Bob,'alice'", "set", "withassoc", "fo=user", "extra"], GRAMMARS["user"])
    assert conditions.values == {"names": ["bob", "alice", "extra"]}
    assert conditions.switches == {"withassoc"}
    assert conditions.format == "user"


@pytest.mark.parametrize(
    "entity, word, lines",
    [
        ("user", "bogus=3", " Unknown condition: bogus=3\n Use keyword 'set' to modify value"),
        ("association", "bogus=3", " Unknown condition: bogus=3"),
        ("association", "tr", "sacctmgr: error: Invalid value for AssocId (tr)"),
        ("association", "names=bob", " Unknown condition: names=bob"),
        ("qos", "bogus=1", " Unknown condition: bogus=1\n Use keyword 'set' to modify SLURM_PRINT_VALUE"),
        ("user", "user!=bob", " Unknown condition: user!=bob\n Use keyword 'set' to modify value"),
        ("user", "user+=bob", " Invalid operator '+=' in user+=bob"),
        ("event", "bogus", " Unknown event type: 'bogus'  Valid events are Cluster and Node."),
        ("tres", "t=gres", " Unknown condition: t=gres\n Use keyword 'set' to modify value"),
    ],
)
def test_refused_conditions(entity, word, lines):
    with pytest.raises(BadValue, match=f"^{re.escape(lines)}$"):
        read([word], GRAMMARS[entity])


@pytest.mark.parametrize(
    "line, ids",
    [
        ("", "1 2 3 5 8 4 6 7"), ("account=project1 user=alice", "5"), ("user=alice,bob", "5 6 7"),
        ("users= accounts=project1", "3"), ("cluster=other", ""), ("parent=root", "3 4"), ("qos=high", "2 5 8"),
        ("id=3", "3"), ("3,4", "3 4"), ("onlydefaults", "2 5 7"), ("withsub account=root", "1 2 3 5 8 4 6 7"),
        ("partition=x", ""), ("ac=project2", "4 6 7"),
    ],
)  # fmt: skip
def test_which_associations(line, ids):
    assert out_of(f"sacctmgr -nP show assoc {line} format=id").split() == ids.split()


def test_users_and_accounts_without_any_of_those_are_listed_all_the_same():
    assert out_of("sacctmgr -nP show user withassoc qos=high format=user,account").split() == [
        "alice|project1", "bob|", "root|root", "root|project1",
    ]  # fmt: skip
    assert out_of("sacctmgr -nP show account withassoc qos=high format=account,user").split() == [
        "project1|alice", "project1|root", "project2|", "root|root",
    ]  # fmt: skip


def test_a_qos_that_is_none():
    assert refusal("sacctmgr show assoc qos=nosuch") == [
        "sacctmgr: error: You gave a bad qos 'nosuch'. Valid QOS's are normal,high,small",
        " Unknown condition: qoslevel=nosuch",
    ]


def test_conditions_that_want_withassoc_ask_first():
    question = (
        "You requested options that are only valid when querying with the withassoc option.\n"
        "Are you sure you want to continue? (You have 30 seconds to decide)\n(N/y): \n"
    )
    assert out_of("sacctmgr -n show user account=project2", stdin="N\n") == question + "Aborted\n"
    assert out_of("sacctmgr -nP show user account=project2 format=user", stdin="y\n") == question + "alice\nbob\nroot\n"


@pytest.mark.parametrize(
    "line, users",
    [("adminlevel=admin", "root"), ("adminlevel=none", "alice bob"), ("adminlevel=xx", "alice bob root"),
     ("defaultaccount=project1", "alice"), ("names=bob", "bob"), ("bob alice", "alice bob"), ("user==bob", "")],
)  # fmt: skip
def test_which_users(line, users):
    assert out_of(f"sacctmgr -nP show user {line} format=user").split() == users.split()


@pytest.mark.parametrize(
    "line, names",
    [("type=gres", "gpu gpumem gpuutil"), ("gres/gpu", "gpu"), ("id=6", "disk"), ("bogus", "")],
)
def test_which_resources(line, names):
    assert out_of(f"sacctmgr -nP show tres {line} format=name").split() == names.split()


# entities


def test_the_cluster():
    shown = out_of("sacctmgr -nP show cluster format=cluster,controlhost,rpc,nodecount,clusternodes,tres,flags")
    assert shown == (
        "oracle|ctl01|11520|5|node[01-05]|billing=20,cpu=20,energy=0,fs/disk=0,gres/gpu=2,gres/gpumem=0,"
        "gres/gpuutil=0,mem=20000M,node=5,pages=0,vmem=0|MultipleSlurmd\n"
    )
    assert out_of("sacctmgr -nP show cluster other") == ""


def test_events_are_the_cluster_and_nodes_that_take_no_work():
    shown = out_of("sacctmgr -nP show event format=nodename,event,state,stateraw,reason,user,duration,end")
    assert shown == (
        "|Cluster||0|Cluster Registered TRES||00:01:00|Unknown\n"
        "node05|Node|DOWN|1|psu failed|root(0)|00:00:50|Unknown\n"
    )
    assert out_of("sacctmgr -nP show event nodes=node05 states=down format=nodename") == "node05\n"
    assert out_of("sacctmgr -nP show event states=drain format=nodename") == ""


@pytest.mark.parametrize("entity", ["transaction", "federation", "resource", "reservation", "instance", "problem"])
def test_what_there_is_nothing_of(entity):
    header, dashes = out_of(f"sacctmgr show {entity}", uid=0).splitlines()
    assert len(header) == len(dashes)


def test_keys_of_users_are_for_operators():
    assert refusal("sacctmgr show wckey")[-1] == " Error with request: Access/permission denied"
    assert out_of("sacctmgr show wckey", uid=0).startswith("     WCKey    Cluster       User \n")


def test_unknown_fields():
    assert refusal("sacctmgr show user format=user,Bogus,other") == ["Unknown field 'bogus'"]
    assert refusal("sacctmgr show user format=") == ["Unknown field ''"]
    assert refusal("sacctmgr show transaction format=actor,Bogus,other") == [
        "Unknown field 'bogus'", "Unknown field 'other'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word, header",
    [("u", "User"), ("as", "Cluster|Account"), ("cl", "Cluster|ControlHost"), ("tr", "Time|Action"), ("q", "Name|"),
     ("tres", "Type|Name"), ("e", "Cluster|NodeName"), ("associations", "Cluster|Account"), ("qos", "Name|Priority")],
)  # fmt: skip
def test_entities_may_be_abbreviated(word, header):
    assert out_of(f"sacctmgr -P show {word}", uid=0).startswith(header)


@pytest.mark.parametrize("word", ["a", "c", "re", "r", "job", "coord"])
def test_too_short_or_no_entity(word):
    assert refusal(f"sacctmgr show {word}")[0] == "No valid entity in list command"


def test_statistics_and_configuration():
    assert "DBD_GET_JOBS_COND        ( 1444) count:4      ave_time:100    total_time:400" in out_of(
        "sacctmgr show stats", uid=0
    )
    assert "privilege" in refusal("sacctmgr show stats")[0]
    assert "SLURM_CONF             = /etc/slurm-compat/cluster.yaml" in out_of("sacctmgr show configuration")


# changes


@pytest.mark.parametrize(
    "line",
    ["archive dump", "shutdown", "add cluster other", "delete cluster oracle", "add federation f",
     "modify job 5 set x=1", "modify user alice set newname=alicia"],
)  # fmt: skip
def test_verbs_that_nothing_here_can_do(line):
    assert "is not supported here; " in refusal(f"sacctmgr {line}", uid=0)[0]


@pytest.mark.parametrize(
    "line, told",
    [
        ("add user", " Need name of user to add."),
        ("add user x", " Need name of account or wckey to add."),
        ("delete user", " No conditions given to remove, not executing."),
        ("add bogus", "No valid entity in add command"),
        ("-r add user x account=y", "Can't run this command in readonly mode."),
        ("add account x", " error: Only admins/operators/coordinators can add accounts"),
    ],
)
def test_refused_before_anything_is_asked(line, told):
    assert refusal(f"sacctmgr -i {line}")[0] == told


# sessions


def test_a_session_on_standard_input():
    lines = (
        'show user bob format=user%6\nbogus\n\n# a remark\n!!\nshow account name="project1" format=account\nexit\nx\n'
    )
    out, err, code = run("sacctmgr -n", Accounting(), stdin=lines)
    assert err == "invalid keyword: bogus\n" * 2
    assert code == 1
    assert out == (
        "sacctmgr: show user bob format=user%6\n   bob \nsacctmgr: bogus\nsacctmgr: \nsacctmgr: # a remark\n"
        'sacctmgr: !!\nsacctmgr: show account name="project1" format=account\n  project1 \nsacctmgr: exit\n'
    )
    assert run("sacctmgr", Accounting(), stdin="") == ("sacctmgr: \n", "", 0)


def test_documents():
    users = json.loads(out_of("sacctmgr --json show user alice withassoc"))["users"]
    assert [entry["id"] for entry in users[0]["associations"]] == [5, 6]
    assert users[0]["default"] == {"qos": 0, "account": "project1", "wckey": ""}
    (small,) = json.loads(out_of("sacctmgr show qos small --json"))["qos"]
    assert small["flags"] == ["DENY_LIMIT"]
    assert small["limits"]["max"]["tres"]["per"]["user"] == [{"type": "cpu", "name": "", "id": 1, "count": 2}]
    (bob,) = json.loads(out_of("sacctmgr show assoc user=bob --json"))["associations"]
    assert (bob["lineage"], bob["is_default"], bob["shares_raw"]) == ("/project2/0-bob/", True, 2)
    (cluster,) = json.loads(out_of("sacctmgr show cluster --json"))["clusters"]
    assert [entry["count"] for entry in cluster["tres"]][:5] == [20, 20000, 0, 5, 20]
    # entities without a document are shown as ever
    assert out_of("sacctmgr -n show problem --json", uid=0) == ""
